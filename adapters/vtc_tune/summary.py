"""From rows to figures: the means of every setting over all samples, and how sure they are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from .intervals import bootstrap

MEASURES = ("agreement", "accuracy", "loyalty", "divergence")


class Estimate(NamedTuple):
    """A mean over samples and its 95 % interval."""

    mean: float
    low: float
    high: float


class Figures(NamedTuple):
    """Of one setting, or of the unpruned model. Tokens are means over prompts."""

    visual: float
    prompt: float
    agreement: Estimate
    accuracy: Estimate | None  # of the samples with a right answer; None where there are none
    loyalty: Estimate
    divergence: Estimate


def columns(table: pa.Table, name: str, rows: int) -> Float[np.ndarray, "rows samples"]:
    """A measure of all settings (the unpruned model first) and samples; NaN where there is none.

    Within a block, rows are settings times samples; blocks follow each other.
    """
    values = table[name].to_numpy(zero_copy_only=False).astype(float)
    setting = _order(table)
    return np.stack([values[setting == number] for number in range(rows)])


def _order(table: pa.Table) -> np.ndarray:
    """The number of each row's setting, in the order in which they first come."""
    keys = list(zip(*(table[name].to_pylist() for name in ("method", "keep", "total")), strict=True))
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys])


def figures(table: pa.Table, rows: int) -> list[Figures]:
    """Of the unpruned model, and of each setting; `rows` are they all."""
    tokens = {name: columns(table, name, rows).mean(1).tolist() for name in ("visual", "prompt")}
    estimates: dict[str, Any] = {name: _estimates(columns(table, name, rows)) for name in MEASURES}
    return [Figures(**{name: values[i] for name, values in (tokens | estimates).items()}) for i in range(rows)]


def _estimates(values: Float[np.ndarray, "rows samples"]) -> Sequence[Estimate | None]:
    known = values[:, ~np.isnan(values).any(0)]
    if not known.shape[1]:
        return [None] * len(values)
    ends = bootstrap(known)
    return [Estimate(float(row.mean()), float(low), float(high)) for row, (low, high) in zip(known, ends, strict=True)]
