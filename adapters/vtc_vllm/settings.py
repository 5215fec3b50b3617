"""What a server was started with, under the key `vtc` of the model's configuration, and what a request may change."""

from collections.abc import Mapping
from copy import copy
from typing import Any

from vtc_core import checks
from vtc_core.methods import refuse_without_prompt
from vtc_llava import Settings
from vtc_llava.budget import Budget
from vtc_llava.families import settings_of
from vtc_torch import towers

FAMILIES = ("llava", "llava_next")  # of which there is an architecture, see `plugin`
KEEP = "vtc_keep"  # in a request's `mm_processor_kwargs`
MORE = "mm_processor_kwargs"  # under `vtc`: the names of others that a request may set


def served(config: Any, name: str) -> Settings:
    """The settings of an engine, from `config.vtc`: `keep` or `total`, and `method`, as for `patch`.

    A checkpoint that was saved by a patched model brings them; `--hf-overrides` sets or replaces them.

    Raises:
        ValueError: they are missing, or do not fit the model.
    """
    if config.model_type not in FAMILIES:
        raise ValueError(
            f"vtc_vllm serves models of model_type {' and '.join(map(repr, FAMILIES))}, got {config.model_type!r}: "
            "vLLM cuts and counts the pictures of every other in code of its own, which is not replaced here"
        )
    plain, held = copy(config), getattr(config, "vtc", None)
    if isinstance(held, dict):
        plain.vtc = {key: value for key, value in held.items() if key != MORE}
    try:
        settings = settings_of(plain, name, {})
        refuse_without_prompt(settings.method, "vLLM encodes a picture once, for all prompts that it comes in")
        if settings.stages:
            raise ValueError(
                "stages run inside transformers' language model, which vLLM has its own of: leave them out"
            )
        settable(config)
        return settings
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{error}. vtc is set up by --hf-overrides \'{{"architectures": [...], "vtc": {{"keep": 64}}}}\''
        ) from error


def settable(config: Any) -> frozenset[str]:
    """Which `mm_processor_kwargs` a request may set: its budget, and what the server's own setting names."""
    names = (getattr(config, "vtc", None) or {}).get(MORE, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{MORE} under vtc must be a list of names that a request may set, got {names!r}")
    return frozenset([KEEP, *names])


def check(model_config: Any) -> None:
    """Refuse, with one message, an engine that could not run: `model_config` is vLLM's `ModelConfig`."""
    served(model_config.hf_config, model_config.model)
    if KEEP in (model_config.multimodal_config.mm_processor_kwargs or {}):
        raise ValueError(
            f"{KEEP} belongs into the mm_processor_kwargs of a request; a server's own budget is `keep` under vtc in "
            "--hf-overrides"
        )


def requested(config: Any, kwargs: Mapping[str, Any]) -> int | None:
    """The `vtc_keep` of a request's `mm_processor_kwargs`, checked; None if it has none."""
    keep = kwargs.get(KEEP)
    if keep is None:
        return None
    try:
        checks.budget(keep, towers.size_of_config(config.vision_config).tokens, KEEP)
    except TypeError as error:
        raise ValueError(str(error)) from error  # which the server answers as a bad request
    return int(keep)


def budget(settings: Settings, keep: int | None) -> Budget:
    """Of a picture: the request's `keep`, or else what the engine was started with."""
    return settings.budget if not keep else Budget(keep, None)
