"""The families by `config.model_type`, and what a configuration alone lets one refuse or settle; no weights."""

from typing import Any

from vtc_core import checks
from vtc_torch import loading, towers

from . import llava, llava_next, llava_next_video, llava_onevision, video_llava, vipllava
from .budget import budget
from .family import Family, check_config
from .settings import Settings, plain, restored

FAMILIES: dict[str, Family] = {
    "llava": llava.FAMILY,
    "vipllava": vipllava.FAMILY,
    "llava_next": llava_next.FAMILY,
    "llava_next_video": llava_next_video.FAMILY,
    "video_llava": video_llava.FAMILY,
    "llava_onevision": llava_onevision.FAMILY,
}


def family_of(config: Any, name: str) -> Family:
    """The family of a configuration, or a ValueError that lists the known; `name` is for the message."""
    kind = getattr(config, "model_type", None)
    if kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ValueError(f"model must be a LLaVA of a known family ({known}), got {name} of model_type {kind!r}")
    return FAMILIES[kind]


def settings_of(config: Any, name: str, given: dict[str, Any]) -> Settings:
    """Arguments of `patch` that were `given` (are not None), else those saved in `config.vtc`, else the defaults.

    Raises:
        ValueError, TypeError: as `patch`, or neither `keep` nor `total` anywhere; `name` is for the message.
    """
    family = family_of(config, name)
    defaults = {"keep": None, "total": None, "layers": 3, "reduce": "sum", "signal": "cls"}
    return checked(family, config, **{**defaults, **restored(config, name, given)})


def checked(family: Family, config: Any, keep: Any, total: Any, layers: Any, reduce: Any, signal: Any) -> Settings:
    """Every refusal that needs no weights."""
    chosen = budget(keep, total)
    if chosen.total is not None and not family.several:
        raise ValueError(
            f"total is for pictures of several tiles and for videos; a picture of {config.model_type!r} is one tile: "
            f"pass keep={chosen.total}"
        )
    check_config(family, config, signal)
    tokens, depth = towers.size_of_config(config.vision_config)
    checks.encoder(tokens, depth, chosen.keep or 1, layers, reduce, loading.feature_layer(config), signal)
    return Settings(chosen.keep, chosen.total, plain(layers), reduce, signal)
