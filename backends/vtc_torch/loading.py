"""Finding a CLIP vision tower: in a live model, and in a checkpoint on disk or on the hub."""

from typing import Any, NamedTuple

from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel

# Where CLIP and LLaVA checkpoints keep the tower, in the published layout and in that of newer `save_pretrained`.
_TOWER_KEYS = {r"^(model\.)?vision_tower\.(vision_model\.)?": "", r"^vision_model\.": ""}


class CLIPTower(CLIPVisionModel):
    """A `CLIPVisionModel` that may be read out of a larger checkpoint, without a report on all that it left there."""

    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012


class Size(NamedTuple):
    tokens: int  # patch tokens, CLS excluded
    depth: int  # encoder layers


def size_of_tower(tower: Any) -> Size:
    """The size of a live tower, or an error that says what it lacks."""
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
    return Size(embeddings.num_patches, len(tower.encoder.layers))  # type: ignore[union-attr]


def size_of_config(vision_config: Any) -> Size:
    """The size of the tower that a `CLIPVisionConfig` describes."""
    return Size((vision_config.image_size // vision_config.patch_size) ** 2, vision_config.num_hidden_layers)


def no_cls(name: str) -> str:
    """Why a tower without a CLS token is refused."""
    return (
        f"{name} has no CLS token, and CLS attention is what scores the tokens here: "
        "use a CLIP tower, or `vtc_torch.prune` with a (layers, batch, heads, tokens) signal of your own"
    )


def hub_kwargs(model_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those of `from_pretrained`'s arguments that say which files are meant, not how a model is made of them."""
    which = ("revision", "token", "cache_dir", "local_files_only", "subfolder")
    return {k: v for k, v in model_kwargs.items() if k in which}


def clip_config(config: Any, name: str) -> CLIPVisionConfig:
    """The `CLIPVisionConfig` in a CLIP or LLaVA configuration, or a ValueError; `name` is for the message."""
    vision_config = getattr(config, "vision_config", config)
    kind = getattr(vision_config, "model_type", None)
    if kind != "clip_vision_model":
        raise ValueError(
            f"{name} has a vision tower of type {kind!r}; "
            "only CLIP towers ('clip_vision_model') can be pruned: their CLS token scores the others"
        )
    return vision_config


def read_tower(path_or_hub_id: str, vision_config: CLIPVisionConfig, **model_kwargs: Any) -> CLIPTower:
    """The tower of a CLIP or LLaVA checkpoint, in eval mode; nothing else is read."""
    loaded: Any = CLIPTower.from_pretrained(
        path_or_hub_id, config=vision_config, key_mapping=_TOWER_KEYS, output_loading_info=True, **model_kwargs
    )
    tower, info = loaded
    require_all(info, f"{path_or_hub_id} lacks tensors of its vision tower")
    return tower.eval()


def require_all(info: dict[str, Any], complaint: str) -> None:
    """A ValueError unless a checkpoint held every tensor; transformers makes random numbers of the others."""
    absent = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if absent:
        more = ", ..." if len(absent) > 4 else ""
        raise ValueError(f"{complaint} ({len(absent)} in all): {', '.join(absent[:4])}{more}")
