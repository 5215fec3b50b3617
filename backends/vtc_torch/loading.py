"""Finding a CLIP vision tower: in a live model, and in a checkpoint on disk or on the hub."""

from typing import Any, NamedTuple

from torch import nn
from transformers import AutoConfig, CLIPVisionModel

# Where CLIP and LLaVA checkpoints keep the tower, in the published layout and in that of newer `save_pretrained`.
_TOWER_KEYS = {r"^(model\.)?vision_tower\.(vision_model\.)?": "", r"^vision_model\.": ""}


class CLIPTower(CLIPVisionModel):
    """A `CLIPVisionModel` that may be read out of a larger checkpoint, without a report on all that it left there."""

    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012


class Parts(NamedTuple):
    depth: int
    tokens: int  # patch tokens, CLS excluded


def parts(tower: Any) -> Parts:
    """Depth and number of patch tokens of a live tower, or a ValueError that says what it lacks."""
    name = type(tower).__name__
    if not isinstance(tower, nn.Module):
        raise TypeError(f"tower must be a CLIP vision model (torch.nn.Module), got {name}")
    for inner in ("vision_model", "vision_tower"):
        if hasattr(tower, inner):
            raise ValueError(f"tower must be the CLIP vision model itself, got {name}: pass its `.{inner}`")
    embeddings = getattr(tower, "embeddings", None)
    if embeddings is not None and not hasattr(embeddings, "class_embedding"):
        raise ValueError(no_cls(name))
    if embeddings is None or not hasattr(tower, "pre_layrnorm") or not hasattr(tower, "encoder"):
        raise ValueError(f"tower must be a CLIP vision model (such as transformers' CLIPVisionModel), got {name}")
    return Parts(len(tower.encoder.layers), embeddings.num_patches)  # type: ignore[union-attr]


def no_cls(name: str) -> str:
    """Why a tower without a CLS token is refused."""
    return (
        f"{name} has no CLS token, and CLS attention is what scores the tokens here: "
        "use a CLIP tower, or `vtc_torch.prune` with a (layers, batch, heads, tokens) signal of your own"
    )


def tower_from_pretrained(path_or_hub_id: str, **model_kwargs: Any) -> tuple[CLIPTower, int]:
    """The tower of a CLIP or LLaVA checkpoint, in eval mode, and its feature layer. Reads no language model."""
    hub_kwargs = {k: v for k, v in model_kwargs.items() if k in ("revision", "token", "cache_dir", "local_files_only")}
    config = AutoConfig.from_pretrained(path_or_hub_id, **hub_kwargs)
    vision_config = getattr(config, "vision_config", config)
    kind = getattr(vision_config, "model_type", None)
    if kind != "clip_vision_model":
        raise ValueError(
            f"{path_or_hub_id} has a vision tower of type {kind!r}; "
            "only CLIP towers ('clip_vision_model') can be read: their CLS token scores the others"
        )
    loaded: Any = CLIPTower.from_pretrained(
        path_or_hub_id, config=vision_config, key_mapping=_TOWER_KEYS, output_loading_info=True, **model_kwargs
    )
    tower, info = loaded
    if info["missing_keys"] or info["mismatched_keys"]:
        absent = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
        raise ValueError(
            f"{path_or_hub_id} lacks tensors of its vision tower ({len(absent)} in all): {', '.join(absent[:4])}"
            f"{', ...' if len(absent) > 4 else ''}"
        )
    return tower.eval(), getattr(config, "vision_feature_layer", -2)
