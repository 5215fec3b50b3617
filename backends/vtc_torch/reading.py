"""A model out of a checkpoint, all of it: no code but transformers' own, no tensors made up, no report on stderr."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .configuration import UNTRUSTED, as_data

_LOGGER = logging.getLogger("transformers.modeling_utils")


def read(kind: Any, path_or_hub_id: str, whose: str, **model_kwargs: Any) -> Any:
    """A `kind` of transformers' in eval mode; `whose` ("its vision tower") is for messages.

    Raises:
        ValueError: tensors that are missing, or of other shapes than the configuration says; the first are named.
    """
    model_kwargs |= {"output_loading_info": True, "ignore_mismatched_sizes": True, **UNTRUSTED}  # whatever was given
    with as_data(path_or_hub_id), _without_report():
        model, info = kind.from_pretrained(path_or_hub_id, **model_kwargs)
    _refuse(f"{path_or_hub_id} lacks tensors of {whose}", info["missing_keys"])
    others = (
        f"{name} (wanted {tuple(wanted)}, found {tuple(found)})" for name, found, wanted in info["mismatched_keys"]
    )
    _refuse(f"{path_or_hub_id} has tensors of other shapes than its config.json says", others)
    return model.eval()


def _refuse(complaint: str, wrong: Iterable[str]) -> None:
    """A ValueError if there are any; transformers makes random numbers of them."""
    names = sorted(wrong)
    if names:
        more = ", ..." if len(names) > 4 else ""
        raise ValueError(f"{complaint} ({len(names)} in all): {', '.join(names[:4])}{more}")


@contextmanager
def _without_report() -> Iterator[None]:
    """transformers lists all tensors that are missing, over pages, and what it made of them."""

    def wanted(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    _LOGGER.addFilter(wanted)
    try:
        yield
    finally:
        _LOGGER.removeFilter(wanted)
