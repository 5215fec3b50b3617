"""What `--model_args` says of pruning, checked against a checkpoint's configuration alone: no weights, no lmms-eval."""

import json
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any

from vtc_llava import Settings
from vtc_llava.families import settings_of
from vtc_torch import loading

HOW = "vtc is set up by --model_args 'pretrained=...,keep=64,method=\"visionzip:contextual=10\"'"


def settings(config: Any, pretrained: str, given: Mapping[str, Any], model_types: Collection[str]) -> Settings:
    """The settings of a run, from the arguments of `vtc_llava.patch` as lmms-eval parsed them.

    What begins as JSON does ({, [ or ") is read as JSON, since lmms-eval leaves that whole, commas and all:
    `method="vflowopt:threshold=2.0,cell=8.0"`, `layers=[20,21,22]`. `keep=all` is every token: the stock model.

    Args:
        config: the checkpoint's; `config.vtc`, if it has that, is the default of what is not given.
        pretrained: its name, for messages.
        model_types: what the evaluated model can be.

    Raises:
        ValueError: settings that are missing, or do not fit the checkpoint.
    """
    if config.model_type not in model_types:
        known = ", ".join(model_types)
        raise ValueError(f"pretrained must be of model_type {known}, got {config.model_type!r} ({pretrained})")
    try:
        read = {name: _read(name, value) for name, value in given.items()}
        if read.get("keep") == "all":
            read["keep"] = loading.tokens_of(config)
        return settings_of(config, pretrained, read)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{error}. {HOW}") from error


def check_names(others: Collection[str], known: Collection[str]) -> None:
    """Refuse arguments that nobody has, such as what lmms-eval's parser makes of a comma within a method."""
    unknown = sorted(set(others) - set(known))
    if unknown:
        raise ValueError(
            f"--model_args has no {', '.join(unknown)}; it has {', '.join(sorted(known))}. A method with several "
            'parameters is put in double quotes: method="vflowopt:threshold=2.0,cell=8.0"'
        )


def recorded(settings: Settings) -> dict[str, Any]:
    """For the results' config: every setting, defaults too, and what pruned."""
    return {"vtc": version("vtc-cls"), **settings.saved()}


def _read(name: str, value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in ("{", "[", '"'):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"{name} begins as JSON does, and is none ({error}): {value}") from error
