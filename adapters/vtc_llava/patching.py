"""One call that prunes a live LLaVA and its processor, and one that loads such a pair."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

from vtc_core import shuffled
from vtc_core.methods import Method, either
from vtc_core.stages import Stage
from vtc_torch import loading, towers
from vtc_torch.configuration import read_config
from vtc_torch.encoder import walk_of
from vtc_torch.reading import read

from . import words
from .decoding import Decoding
from .families import checked, family_of, settings_of
from .family import check_processor
from .features import Features
from .handle import Handle
from .reading import check_weights, read_processor
from .settings import whole
from .text_tower import TextTower, text_tower_of

Stages = Sequence[Stage | str | Mapping[str, Any]]


def patch(
    model: Any,
    processor: Any,
    keep: SupportsIndex | None = None,
    layers: SupportsIndex | Sequence[SupportsIndex] | None = None,
    reduce: str | None = None,
    *,
    total: SupportsIndex | None = None,
    method: Method | str | Mapping[str, Any] | None = None,
    stages: Stages | None = None,
    text_tower: str | TextTower | None = None,
) -> Handle:
    """Prune the visual tokens of `model` from now on, in place, these two instances only.

    Modifications:

    - `model.model.get_image_features` (and `get_video_features`) walks through the model's own tower as
      `vtc_torch.PrunedEncoder` does, then through its own projector, and packs what was chosen;
      `model.model.get_placeholder_mask` explains a prompt that the patched processor did not write;
    - `processor.replace_image_token` (and `replace_video_token`) writes as many placeholders, so ids, mask, cache and
      positions are short and consistent. Position ids are compact, as in the published VTC-CLS code;
    - with a method that reads the prompt, `forward` and `generate` let it see their ids, see `words`;
    - with `stages`, `model.model.language_model.forward` drops more of them between its layers, see `decoding`;
    - `model.config.vtc` holds the settings: saved with the model, and read by `load`.

    Nothing else changes: `generate`, beams, sampling, labels, batches and prompts without pictures work as before.

    Args:
        model, processor: a LLaVA of a known family, and its processor.
        keep: tokens kept of a tile (of a picture where that is one tile, of a frame of a video), in [1, tokens]; all of
            them gives the unpatched logits.
        total: instead of `keep`, tokens kept of a picture of several tiles, or of a video. See `vtc_llava.budget`.
        method: how tokens are chosen: a name with parameters ("visionzip:contextual=10"), or a value of
            `vtc_core.methods`; VTC-CLS when None. Towers without CLS need one that does without ("received").
        layers, reduce: shorthands for `method=VtcCls(layers, reduce)`.
        stages: how more tokens are dropped inside the language model: names with parameters ("fastv:layer=2,keep=0.5"),
            or values of `vtc_core.stages`. Given alone, without keep and total, all tokens enter the language model.
        text_tower: of methods that compare patches with words as CLIP does ("cdpruner", "trim"): the CLIP checkpoint
            that the vision tower is of, a folder or hub id, or a `TextTower`. It is not saved with the settings.

    Raises:
        ValueError: a family, tower or setting that is not supported, `keep` or `layers` out of range, a pair that is
            already patched. The pair is untouched then.
    """
    family = family_of(getattr(model, "config", None), type(model).__name__)
    if not isinstance(model, family.model):
        inner = ": pass its get_base_model()" if hasattr(model, "get_base_model") else ""
        raise TypeError(f"model must be a {family.model.__name__}, got {type(model).__name__}{inner}")
    config = model.config
    alone = whole(config) if stages and keep is None and total is None else {"keep": keep, "method": None}
    settings = checked(family, config, alone["keep"], total, either(alone["method"], method, layers, reduce), stages)
    check_processor(family, config, processor)
    clip = text_tower_of(settings.method, text_tower, config)
    for instance, name in ((model, "model"), (processor, "processor")):
        if "vtc" in vars(instance):
            raise ValueError(
                f"this {name} is already patched ({instance.vtc.settings.budget}): undo that first, with its handle's "
                "undo()"
            )
    handle: Any = None
    for name in dict.fromkeys(family.towers.values()):  # as they are now: a tower may be another than configured
        size = towers.size_of_tower(getattr(model.model, name), settings.method)
        made, shuffle = loading.feature_layer(config), loading.shuffle_of(config)
        walk = walk_of(*size, settings.keep or 1, settings.method, made, shuffle)
        layouts = family.layouts(config, processor.image_processor)
        handle = Handle(model, processor, family, settings, walk, shuffled.count(size.tokens, shuffle), layouts)
    handle.install(list(_overrides(handle)))
    words.install(handle, clip)
    return handle


def load(
    path_or_id: str,
    keep: SupportsIndex | None = None,
    layers: SupportsIndex | Sequence[SupportsIndex] | None = None,
    reduce: str | None = None,
    *,
    total: SupportsIndex | None = None,
    method: Method | str | Mapping[str, Any] | None = None,
    stages: Stages | None = None,
    text_tower: str | TextTower | None = None,
    **model_kwargs: Any,
) -> tuple[Any, Any]:
    """A patched (model, processor) from a folder or hub id, in eval mode; the handle is `model.vtc`.

    What is not given is taken from the checkpoint, if a patched pair was saved there, else as in `patch`.
    `model_kwargs` go to transformers' `from_pretrained`: `dtype`, `device_map`, `attn_implementation`, `revision`, ...

    Raises:
        OSError: no checkpoint there.
        ValueError: as `patch`; or tensors are missing (they are named).
    """
    hub_kwargs = loading.hub_kwargs(model_kwargs)
    config = read_config(path_or_id, **hub_kwargs)
    given = {"keep": keep, "total": total, "method": method, "layers": layers, "reduce": reduce, "stages": stages}
    settings = settings_of(config, path_or_id, given)  # refusals before gigabytes are read
    family = family_of(config, path_or_id)
    clip = text_tower_of(settings.method, text_tower, config)
    check_weights(family, path_or_id, config, **hub_kwargs)
    processor = read_processor(family, path_or_id, config, **hub_kwargs)
    model = read(family.model, path_or_id, "the model", **model_kwargs)
    restored: Any = {"total": settings.total, "method": settings.method, "stages": settings.stages}
    patch(model, processor, settings.keep, **restored, text_tower=clip)
    return model, processor


def _overrides(handle: Handle) -> Iterator[tuple[Any, str, Any]]:
    """(instance, attribute, value) of all that `patch` sets."""
    model, processor = handle.model, handle.processor
    family = handle.family
    placeholders = family.placeholders.of(processor, family.towers, handle.layouts, handle.settings)
    for name, function in (family.features or Features)(handle).overrides():
        yield model.model, name, function
    for name, function in placeholders.overrides():
        yield processor, name, function
    if handle.settings.stages:
        lm = model.model.language_model  # which accelerate's hooks call by the other name
        yield lm, "_old_forward" if hasattr(lm, "_hf_hook") else "forward", Decoding(handle).forward
    yield model.config, "vtc", handle.settings.saved()
    yield model, "vtc", handle
    yield processor, "vtc", placeholders
