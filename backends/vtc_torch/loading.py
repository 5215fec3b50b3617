"""Finding a vision tower in a checkpoint on disk or on the hub."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import CLIPVisionModel, LlavaConfig, PreTrainedModel, SiglipVisionConfig, SiglipVisionModel
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from vtc_core.methods import Method

from .towers import refuse_without_cls

# Where CLIP, SigLIP and LLaVA checkpoints keep the tower, as published and as newer `save_pretrained` writes it.
_TOWER_KEYS = {r"^(model\.)?vision_tower\.(vision_model\.)?": "", r"^vision_model\.": ""}


class CLIPTower(CLIPVisionModel):
    """A `CLIPVisionModel` that may be read out of a larger checkpoint, without a report on all that it left there."""

    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012


class SiglipTower(SiglipVisionModel):
    """The same of a `SiglipVisionModel`, without its pooling head: that feeds no language model, and LLaVAs lack it."""

    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012

    def __init__(self, config: SiglipVisionConfig) -> None:
        config.vision_use_head = False
        super().__init__(config)


_TOWERS = {"clip_vision_model": CLIPTower, "siglip_vision_model": SiglipTower}


def hub_kwargs(model_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those of `from_pretrained`'s arguments that say which files are meant, not how a model is made of them."""
    which = ("revision", "token", "cache_dir", "local_files_only", "subfolder")
    return {k: v for k, v in model_kwargs.items() if k in which}


def tower_config(config: Any, name: str, method: Method | None = None) -> Any:
    """The tower's part of a CLIP, SigLIP or LLaVA configuration, or a ValueError; `name` is for the message."""
    vision_config = getattr(config, "vision_config", config)
    kind = getattr(vision_config, "model_type", None)
    if kind not in _TOWERS:
        raise ValueError(
            f"{name} has a vision tower of type {kind!r}; only CLIP towers ('clip_vision_model') can be pruned, "
            "and by methods that do without CLS SigLIP towers ('siglip_vision_model')"
        )
    if kind == "siglip_vision_model" and method:
        refuse_without_cls(f"the vision tower of {name} ({kind})", method)
    return vision_config


def feature_layer(config: Any) -> int | Sequence[int]:
    """The hidden states that a checkpoint feeds to its projector; LLaVA's -2 for a tower alone.

    VipLLaVA's plural was made an alias of the singular between transformers 5.16 and 5.23.
    """
    return getattr(config, "vision_feature_layer", getattr(config, "vision_feature_layers", -2))


def read_tower(path_or_hub_id: str, vision_config: Any, **model_kwargs: Any) -> PreTrainedModel:
    """The tower of a CLIP, SigLIP or LLaVA checkpoint, in eval mode; nothing else is read."""
    loaded: Any = _TOWERS[vision_config.model_type].from_pretrained(
        path_or_hub_id, config=vision_config, key_mapping=_TOWER_KEYS, output_loading_info=True, **model_kwargs
    )
    tower, info = loaded
    require_all(info, f"{path_or_hub_id} lacks tensors of its vision tower")
    return tower.eval()


class _Projector(PreTrainedModel):
    """The projector alone, read out of a LLaVA checkpoint."""

    config_class = LlavaConfig
    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__(config)
        self.multi_modal_projector = LlavaMultiModalProjector(config)
        self.post_init()


def read_projector(path_or_hub_id: str, config: Any, **model_kwargs: Any) -> nn.Module:
    """The projector of a LLaVA-1.5 checkpoint, in eval mode, and nothing else."""
    if getattr(config, "model_type", None) != "llava":
        raise ValueError(f"{path_or_hub_id} must be a LLaVA (model_type 'llava') to have its projector read alone")
    kwargs = {key: value for key, value in model_kwargs.items() if key != "attn_implementation"}
    loaded: Any = _Projector.from_pretrained(
        path_or_hub_id, config=config, key_mapping={r"^model\.": ""}, output_loading_info=True, **kwargs
    )
    model, info = loaded
    require_all(info, f"{path_or_hub_id} lacks tensors of its projector")
    return model.multi_modal_projector.eval()


def require_all(info: dict[str, Any], complaint: str) -> None:
    """A ValueError unless a checkpoint held every tensor; transformers makes random numbers of the others."""
    absent = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if absent:
        more = ", ..." if len(absent) > 4 else ""
        raise ValueError(f"{complaint} ({len(absent)} in all): {', '.join(absent[:4])}{more}")
