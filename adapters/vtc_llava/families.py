"""The families by `config.model_type`, and what a configuration alone lets one refuse or settle; no weights."""

from typing import Any

from vtc_core.methods import Method
from vtc_torch import loading, towers
from vtc_torch.encoder import walk_of

from . import internvl, llava, llava_next, llava_next_video, llava_onevision, video_llava, vipllava
from .budget import budget
from .family import Family, check_config
from .settings import Settings, restored
from .staging import checked_stages

FAMILIES: dict[str, Family] = {
    "llava": llava.FAMILY,
    "vipllava": vipllava.FAMILY,
    "llava_next": llava_next.FAMILY,
    "llava_next_video": llava_next_video.FAMILY,
    "video_llava": video_llava.FAMILY,
    "llava_onevision": llava_onevision.FAMILY,
    "internvl": internvl.FAMILY,
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
    return checked(family_of(config, name), config, **restored(config, name, given))


def checked(family: Family, config: Any, keep: Any, total: Any, method: Method, stages: Any = None) -> Settings:
    """Every refusal that needs no weights."""
    chosen = budget(keep, total)
    if chosen.total is not None and not family.several:
        raise ValueError(
            f"total is for pictures of several tiles and for videos; a picture of {config.model_type!r} is one tile: "
            f"pass keep={chosen.total}"
        )
    check_config(family, config, method)
    if method.progressive and family.several:
        raise ValueError(
            f"method {method.name!r} drops tokens inside the encoder, before tiles and frames are put together: it is "
            f"for families of one tile a picture, not for {config.model_type!r}"
        )
    size, made = towers.size_of_config(config.vision_config), loading.feature_layer(config)
    walk_of(*size, chosen.keep or 1, method, made, loading.shuffle_of(config))
    return Settings(chosen.keep, chosen.total, method, checked_stages(config, stages))
