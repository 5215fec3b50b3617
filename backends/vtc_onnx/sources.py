"""What can be exported, made into one thing: a pruned encoder of its own on the CPU, and a projector."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import torch
from torch import nn
from transformers import (
    InternVLForConditionalGeneration,
    InternVLModel,
    LlavaForConditionalGeneration,
    LlavaModel,
    PreTrainedModel,
)

from vtc_core.methods import Method, VtcCls
from vtc_torch import PrunedEncoder, loading, towers
from vtc_torch.configuration import read_config
from vtc_torch.encoder import walk_of

from . import methods

_TOWERS = ("clip", "clip_vision_model", "internvl_vision")  # `model_type` of checkpoints without a projector
_WHOLE = ("llava", "internvl")  # and with one


class Source(NamedTuple):
    name: str  # of the checkpoint, without the folders of this machine
    encoder: PrunedEncoder  # with the projector of a whole model; shares nothing with a live model, eval mode

    @property
    def picture(self) -> tuple[int, int, int]:
        """channels, height, width"""
        config: Any = self.encoder.tower.config
        side = towers.sides(config).image
        return config.num_channels, side, side


class Settings(NamedTuple):
    """Of `vtc_torch.PrunedEncoder`; `feature_layer=None` is the checkpoint's own."""

    keep: SupportsIndex = 64
    method: Method = VtcCls()
    feature_layer: int | Sequence[int] | None = None


def read(source: Any, settings: Settings, static_keep: bool) -> Source:
    """A checkpoint (folder or hub id), a live model or a `vtc_torch.PrunedEncoder`, in float32."""
    if isinstance(source, PrunedEncoder):
        methods.check(source.method, static_keep)
        return _pruned(source, settings)
    methods.check(settings.method, static_keep)
    if isinstance(source, str | os.PathLike):
        return _checkpoint(os.fspath(source), settings)
    if not isinstance(source, nn.Module):
        raise TypeError(
            "source must be a folder or hub id, a CLIP vision model, a LLaVA or InternVL, or a vtc_torch.PrunedEncoder,"
            f" got {type(source).__name__}"
        )
    generates = isinstance(source, LlavaForConditionalGeneration | InternVLForConditionalGeneration)
    model: Any = source.model if generates else source
    if isinstance(model, LlavaModel | InternVLModel):
        _check_strategy(model.config, type(source).__name__)
        tower, projector, config = model.vision_tower, model.multi_modal_projector, model.config
    else:
        towers.size_of_tower(model, settings.method)  # or an error that says what it lacks
        tower, projector, config = model, None, model.config
    feature_layer = loading.feature_layer(config) if settings.feature_layer is None else settings.feature_layer
    shuffle = loading.shuffle_of(config)
    walk_of(*towers.size_of_tower(tower), settings.keep, settings.method, feature_layer, shuffle)
    projector = projector and _own(projector)
    encoder = PrunedEncoder(_own(tower), settings.keep, settings.method, feature_layer, projector, shuffle)
    return Source(_name(config._name_or_path) or type(source).__name__, encoder)


def _checkpoint(path: str, settings: Settings) -> Source:
    config = read_config(path)
    loading.tower_config(config, path, settings.method)  # or an error that says why it cannot be pruned
    kind = config.model_type
    if kind not in (*_TOWERS, *_WHOLE):
        raise ValueError(f"{path} must be of model_type {', '.join(map(repr, (*_TOWERS, *_WHOLE)))}, got {kind!r}")
    if kind in _WHOLE:
        _check_strategy(config, path)
    options: Any = {"dtype": torch.float32, "attn_implementation": "eager", "project": kind in _WHOLE}
    return Source(_name(path), PrunedEncoder.from_pretrained(path, *settings, **options))


def _pruned(source: PrunedEncoder, settings: Settings) -> Source:
    """Its settings hold; others than the default would be a second opinion."""
    for name, given, default in zip(Settings._fields, settings, Settings(), strict=True):
        if given != default:
            raise ValueError(f"{name} is that of the PrunedEncoder that is exported and cannot be given, got {given!r}")
    tower, projector = _own(source.tower), source.projector and _own(source.projector)
    shuffle = getattr(source.walk, "shuffle", 1)
    encoder = PrunedEncoder(tower, source.keep, source.method, source.feature_layers, projector, shuffle)
    return Source(_name(tower.config._name_or_path) or type(tower).__name__, encoder)


def _check_strategy(config: Any, name: str) -> None:
    strategy = config.vision_feature_select_strategy
    if strategy != "default":
        raise ValueError(
            f"{name} has vision_feature_select_strategy {strategy!r}, it must be 'default': "
            "CLS would go to the language model, and only patch tokens can be pruned"
        )


def _own(module: Any) -> Any:
    """A copy that can be changed, with attention that can be traced: matrix product, softmax, matrix product."""
    own = copy.deepcopy(module).to("cpu", torch.float32).eval()
    if isinstance(own, PreTrainedModel):
        own.set_attn_implementation("eager")
    return own


def _name(path: str) -> str:
    return Path(path).resolve().name if path and Path(path).exists() else path
