"""A checkpoint's configuration, read as data: none of its code is run, and numbers that cannot be are refused."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from vtc_core import checkpoints

UNTRUSTED: dict[str, Any] = {"trust_remote_code": False}  # for every `from_pretrained`: where it is left out, some ask
_CODE = "code that comes with a checkpoint is never run here: only what transformers itself knows can be read"


def read_config(path_or_hub_id: str, **hub_kwargs: Any) -> Any:
    """The configuration of a checkpoint.

    Raises:
        OSError: no checkpoint there.
        ValueError: a model that transformers does not know, with code of its own or without; a key whose value cannot
            be; attention that is to be fetched from somewhere.
    """
    with as_data(path_or_hub_id):
        settings, _ = PreTrainedConfig.get_config_dict(path_or_hub_id, **hub_kwargs)
        for key, part in _parts(settings):
            _refuse(part, key, path_or_hub_id)
        return AutoConfig.from_pretrained(path_or_hub_id, **UNTRUSTED, **hub_kwargs)


def _refuse(part: Mapping[str, Any], key: str, name: str) -> None:
    checkpoints.sizes(part, key)
    if key and "auto_map" in part:  # transformers would ask, and run it, where the part's model is made
        raise ValueError(f"{key}auto_map in the config of {name}: {_CODE}")
    for attention in ("attn_implementation", "_attn_implementation"):
        if "/" in str(part.get(attention)):
            raise ValueError(
                f"{key}{attention} in the config of {name} is code on a hub, which is never fetched nor run here: "
                f"{part[attention]!r}"
            )


@contextmanager
def as_data(name: str) -> Iterator[None]:
    """Around what reads a part of a checkpoint with `UNTRUSTED`; what that refuses, in one line."""
    try:
        yield
    except StrictDataclassError as error:
        raise ValueError(f"a configuration of {name} is wrong: {str(error).splitlines()[-1].strip()}") from error
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise ValueError(f"{name} has an auto_map: {_CODE}") from error


def _parts(settings: Mapping[str, Any], key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A configuration and all those in it, each with where it stands."""
    yield key, settings
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _parts(value, f"{key}{name}.")
