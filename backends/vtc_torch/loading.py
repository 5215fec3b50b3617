"""Finding a vision tower in a checkpoint on disk or on the hub."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModel,
    CLIPVisionModel,
    InternVLVisionModel,
    PreTrainedConfig,
    PreTrainedModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from vtc_core import checkpoints, shuffled
from vtc_core.methods import Method

from .reading import read
from .towers import CLIP, INTERNVL, SIGLIP, refuse_progressive, refuse_without_cls, size_of_config

# Where CLIP, SigLIP and LLaVA checkpoints keep the tower, as published and as newer `save_pretrained` writes it.
_TOWER_KEYS = {r"^(model\.)?(vision|image)_tower\.(vision_model\.)?": "", r"^vision_model\.": ""}


class CLIPTower(CLIPVisionModel):
    """A `CLIPVisionModel` that may be read out of a larger checkpoint, without a report on all that it left there."""

    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012


class SiglipTower(SiglipVisionModel):
    """The same of a `SiglipVisionModel`, without its pooling head: that feeds no language model, and LLaVAs lack it."""

    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012

    def __init__(self, config: SiglipVisionConfig) -> None:
        config.vision_use_head = False
        super().__init__(config)


class InternVLTower(InternVLVisionModel):
    """The same of an `InternVLVisionModel`."""

    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012


_TOWERS = {CLIP: CLIPTower, SIGLIP: SiglipTower, INTERNVL: InternVLTower}


def hub_kwargs(model_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those of `from_pretrained`'s arguments that say which files are meant, not how a model is made of them."""
    which = ("revision", "token", "cache_dir", "local_files_only", "subfolder")
    return {k: v for k, v in model_kwargs.items() if k in which}


def tower_config(config: Any, name: str, method: Method | None = None) -> Any:
    """The tower's part of a checkpoint's configuration (CLIP's whole), or a ValueError; `name` is for the message."""
    vision_config = getattr(config, "vision_config", config)
    kind = getattr(vision_config, "model_type", None)
    if kind not in _TOWERS:
        raise ValueError(
            f"{name} has a vision tower of type {kind!r}; only CLIP and InternVL towers ({CLIP!r}, {INTERNVL!r}) can "
            f"be pruned, and by methods that do without CLS SigLIP towers ({SIGLIP!r})"
        )
    if kind == SIGLIP and method:
        refuse_without_cls(f"the vision tower of {name} ({kind})", method)
    if kind == INTERNVL and method:
        refuse_progressive(f"the vision tower of {name} ({kind})", method)
    checkpoints.tower(vision_config.to_dict(), "" if vision_config is config else "vision_config.")
    return vision_config


def feature_layer(config: Any) -> int | Sequence[int]:
    """The hidden states that a checkpoint feeds to its projector; LLaVA's -2 for a tower alone.

    VipLLaVA's plural was made an alias of the singular between transformers 5.16 and 5.23.
    """
    return getattr(config, "vision_feature_layer", getattr(config, "vision_feature_layers", -2))


def shuffle_of(config: Any) -> int:
    """Patches on the side of what a checkpoint feeds its projector as one token; 1 but for InternVL."""
    return shuffled.factor_of(getattr(config, "downsample_ratio", None))


def tokens_of(config: Any) -> int:
    """Of a tile, that a checkpoint feeds its projector, all kept: patches, or what pixel shuffle makes of them."""
    patches = size_of_config(getattr(config, "vision_config", config)).tokens
    return shuffled.count(patches, shuffle_of(config))


def read_tower(path_or_hub_id: str, vision_config: Any, **model_kwargs: Any) -> PreTrainedModel:
    """The tower of a CLIP, SigLIP or LLaVA checkpoint, in eval mode; nothing else is read."""
    tower = _TOWERS[vision_config.model_type]
    mapping: dict[str, Any] = {"config": vision_config, "key_mapping": _TOWER_KEYS}
    return read(tower, path_or_hub_id, "its vision tower", **mapping, **model_kwargs)


class _Projector(PreTrainedModel):
    """The projector alone, read out of a LLaVA checkpoint of any family."""

    config_class = PreTrainedConfig
    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        with torch.device("meta"):  # which class it is: no weights
            kind = type(AutoModel.from_config(config).multi_modal_projector)
        self.multi_modal_projector = kind(config)
        self.post_init()


def read_projector(path_or_hub_id: str, config: Any, **model_kwargs: Any) -> nn.Module:
    """The projector of a LLaVA checkpoint, in eval mode, and nothing else."""
    if not hasattr(config, "projector_hidden_act"):
        kind = getattr(config, "model_type", None)
        raise ValueError(f"{path_or_hub_id} must be a LLaVA to have its projector read alone, got model_type {kind!r}")
    kwargs = {key: value for key, value in model_kwargs.items() if key != "attn_implementation"}
    config = copy.deepcopy(config)
    vars(config).pop("quantization_config", None)  # of the language model: a projector that is quantised is refused
    mapping: dict[str, Any] = {"config": config, "key_mapping": {r"^model\.": ""}}
    return read(_Projector, path_or_hub_id, "its projector", **mapping, **kwargs).multi_modal_projector
