"""One call that prunes a live LLaVA and its processor, and one that loads such a pair."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, SupportsIndex

from transformers import AutoConfig, AutoProcessor

from vtc_core import checks
from vtc_torch import PrunedEncoder, loading

from . import llava
from .handle import Handle

# `config.model_type` -> the module that knows the family.
FAMILIES: dict[str, ModuleType] = {"llava": llava}


def patch(
    model: Any,
    processor: Any,
    keep: SupportsIndex,
    layers: SupportsIndex | Sequence[SupportsIndex] = 3,
    reduce: str = "sum",
) -> Handle:
    """Prune the visual tokens of `model` from now on: `keep` tokens a picture, in place, these two instances only.

    Modifications:
    - `model.model.get_image_features` runs a `vtc_torch.PrunedEncoder` around the model's own tower, then the model's
      own projector; `model.model.get_placeholder_mask` explains a prompt that the patched processor did not write;
    - `processor.replace_image_token` writes `keep` placeholders a picture, so ids, mask, cache and positions are short
      and consistent. Position ids are compact, as in the published VTC-CLS code.
    Nothing else changes: `generate`, beams, sampling, labels, batches and prompts without pictures work as before.

    Args:
        model, processor: a LLaVA of a known family, and its processor.
        keep: tokens kept of a picture, in [1, tokens]; all of them gives the unpatched logits.
        layers, reduce: the ensemble, see `vtc_core.resolve_layers` and `vtc_core.score`.

    Raises:
        ValueError: a family, tower or setting that is not supported, `keep` or `layers` out of range, a pair that is
            already patched. The pair is untouched then.
    """
    family = _family(getattr(model, "config", None), type(model).__name__)
    if not isinstance(model, family.MODEL):
        raise TypeError(f"model must be a {family.MODEL.__name__}, got {type(model).__name__}")
    family.check_config(model.config)
    family.check_processor(processor)
    for instance, name in ((model, "model"), (processor, "processor")):
        if "vtc" in vars(instance):
            kept = instance.vtc.keep
            raise ValueError(f"this {name} is already patched (keep={kept}): undo that first, with its handle's undo()")
    encoder = PrunedEncoder(model.model.vision_tower, keep, layers, reduce, model.config.vision_feature_layer)
    handle = Handle(model, processor, encoder)
    handle.install(list(family.overrides(handle)))
    return handle


def load(
    path_or_id: str,
    keep: SupportsIndex,
    layers: SupportsIndex | Sequence[SupportsIndex] = 3,
    reduce: str = "sum",
    **model_kwargs: Any,
) -> tuple[Any, Any]:
    """A patched (model, processor) from a folder or hub id, in eval mode; the handle is `model.vtc`.

    `model_kwargs` go to transformers' `from_pretrained`: `dtype`, `device_map`, `attn_implementation`, `revision`, ...

    Raises:
        OSError: no checkpoint there.
        ValueError: as `patch`; or tensors are missing (they are named).
    """
    hub_kwargs = loading.hub_kwargs(model_kwargs)
    config = AutoConfig.from_pretrained(path_or_id, **hub_kwargs)
    family = _family(config, path_or_id)
    family.check_config(config)
    checks.encoder(
        *loading.size_of_config(config.vision_config), keep, layers, reduce, config.vision_feature_layer
    )  # before gigabytes are read
    processor = AutoProcessor.from_pretrained(path_or_id, **hub_kwargs)
    model, info = family.MODEL.from_pretrained(path_or_id, output_loading_info=True, **model_kwargs)
    loading.require_all(info, f"{path_or_id} lacks tensors of the model")
    patch(model.eval(), processor, keep, layers, reduce)
    return model, processor


def _family(config: Any, name: str) -> ModuleType:
    kind = getattr(config, "model_type", None)
    if kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ValueError(f"model must be a LLaVA of a known family ({known}), got {name} of model_type {kind!r}")
    return FAMILIES[kind]
