"""What can be exported, made into one thing: a pruned encoder of its own on the CPU, and the projector of a LLaVA."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import torch
from torch import nn
from transformers import AutoConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaModel, PreTrainedModel
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from vtc_core import checks
from vtc_torch import PrunedEncoder, loading, towers

_TOWERS = ("clip", "clip_vision_model")  # `model_type` of checkpoints without a projector


class Source(NamedTuple):
    name: str  # of the checkpoint, without the folders of this machine
    encoder: PrunedEncoder  # shares nothing with a live model, eval mode
    projector: nn.Module | None  # of a LLaVA

    @property
    def picture(self) -> tuple[int, int, int]:
        """channels, height, width"""
        config: Any = self.encoder.tower.config
        return config.num_channels, config.image_size, config.image_size


class Settings(NamedTuple):
    """Of `vtc_torch.PrunedEncoder`; `feature_layer=None` is the checkpoint's own."""

    keep: SupportsIndex = 64
    layers: SupportsIndex | Sequence[SupportsIndex] = 3
    reduce: str = "sum"
    feature_layer: int | Sequence[int] | None = None


def read(source: Any, settings: Settings) -> Source:
    """A checkpoint (folder or hub id), a live model or a `vtc_torch.PrunedEncoder`, in float32."""
    if isinstance(source, str | os.PathLike):
        return _checkpoint(os.fspath(source), settings)
    if isinstance(source, PrunedEncoder):
        return _pruned(source, settings)
    if not isinstance(source, nn.Module):
        raise TypeError(
            "source must be a folder or hub id, a CLIP vision model, a LLaVA or a vtc_torch.PrunedEncoder, "
            f"got {type(source).__name__}"
        )
    model: Any = source.model if isinstance(source, LlavaForConditionalGeneration) else source
    if isinstance(model, LlavaModel):
        _check_llava(model.config, type(source).__name__)
        tower, projector, config = model.vision_tower, model.multi_modal_projector, model.config
    else:
        towers.size_of_tower(model)  # or an error that says what it lacks
        tower, projector, config = model, None, model.config
    settings = _with_feature_layer(settings, config)
    checks.encoder(*towers.size_of_tower(tower), *settings)
    encoder = PrunedEncoder(_own(tower), *settings)  # type: ignore[arg-type]
    return Source(_name(config._name_or_path) or type(source).__name__, encoder, projector and _own(projector))


def _checkpoint(path: str, settings: Settings) -> Source:
    config: Any = AutoConfig.from_pretrained(path)
    loading.tower_config(config, path)  # or an error that says why it cannot be pruned
    kind = config.model_type
    if kind != "llava" and kind not in _TOWERS:
        raise ValueError(f"{path} must be of model_type {', '.join(map(repr, (*_TOWERS, 'llava')))}, got {kind!r}")
    if kind == "llava":
        _check_llava(config, path)
    settings = _with_feature_layer(settings, config)
    encoder = PrunedEncoder.from_pretrained(path, *settings, dtype=torch.float32, attn_implementation="eager")
    return Source(_name(path), encoder, _projector(path, config) if kind == "llava" else None)


def _pruned(source: PrunedEncoder, settings: Settings) -> Source:
    """Its settings hold; others than the default would be a second opinion."""
    if source.signal != "cls":
        raise ValueError(f"only encoders with signal 'cls' can be exported, got {source.signal!r}")
    for name, given, default in zip(Settings._fields, settings, Settings(), strict=True):
        if given != default:
            raise ValueError(f"{name} is that of the PrunedEncoder that is exported and cannot be given, got {given!r}")
    tower: Any = source.tower
    encoder = PrunedEncoder(_own(tower), source.keep, source.layers, source.reduce, source.feature_layers)
    return Source(_name(tower.config._name_or_path) or type(tower).__name__, encoder, None)


def _with_feature_layer(settings: Settings, config: Any) -> Settings:
    made = settings.feature_layer
    return settings._replace(feature_layer=loading.feature_layer(config) if made is None else made)


def _check_llava(config: LlavaConfig, name: str) -> None:
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


class _Projector(PreTrainedModel):
    """The projector alone, read out of a LLaVA checkpoint."""

    config_class = LlavaConfig
    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__(config)
        self.multi_modal_projector = LlavaMultiModalProjector(config)
        self.post_init()


def _projector(path: str, config: LlavaConfig) -> nn.Module:
    loaded: Any = _Projector.from_pretrained(
        path, config=config, key_mapping={r"^model\.": ""}, output_loading_info=True, dtype=torch.float32
    )
    model, info = loaded
    loading.require_all(info, f"{path} lacks tensors of its projector")
    return model.multi_modal_projector.eval()
