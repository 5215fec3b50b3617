"""The cases of the golden vectors: a few of every clause."""

from typing import Any, NamedTuple

import numpy as np

from .. import inputs
from ..tolerances import TOLERANCES

DTYPES = ("float16", "bfloat16", "float32", "float64")
REDUCES = ("sum", "mean", "max", "min")
INF, NAN = np.inf, np.nan


class Case(NamedTuple):
    clause: str
    verb: str
    arguments: dict[str, Any]  # arrays, and plain values
    tolerance: float  # relative, 0 for exactly


def cases() -> dict[str, Case]:
    return {
        f"{case.verb}_{number:02}": case for number, case in enumerate([*_attend(), *_score(), *_select(), *_prune()])
    }


def _attend():
    for dtype in DTYPES:
        query, keys = inputs.normal(0, (2, 3, 8), dtype), inputs.normal(1, (2, 3, 10, 8), dtype)
        yield Case("S1", "attend", {"query": query, "keys": keys, "scale": 0.5}, TOLERANCES[dtype].attention)
        level = {"query": inputs.zeros((1, 1, 2), dtype), "keys": inputs.normal(1, (1, 1, 8, 2), dtype), "scale": 1.0}
        yield Case("S1", "attend", level, 0)


def _score():
    for dtype in DTYPES:
        exact = inputs.sixtyfourths(0, (4, 2, 4, 9), dtype)
        yield from (Case("S2", "score", {"cls_attention": exact, "reduce": reduce}, 0) for reduce in REDUCES)
        ties_in_16_bits = inputs.array([[[[2048.0, 2048.0]]], [[[0.0, 1.0]]]], dtype)
        yield Case("S2", "score", {"cls_attention": ties_in_16_bits, "reduce": "sum"}, 0)
        rows = inputs.softmax_rows(0, (3, 2, 12, 49), dtype)
        yield Case("S2", "score", {"cls_attention": rows, "reduce": "sum"}, TOLERANCES[dtype].score)


def _select():
    for dtype in DTYPES:
        for alphabet in ((0.0, 1.0), (-0.0, 0.0), (NAN, -INF, 0.0, INF)):
            scores = inputs.every_row(alphabet, 4, dtype)
            yield from (Case("S3", "select", {"scores": scores, "keep": keep}, 0) for keep in (1, 2, 3))
        yield Case("S4", "select", {"scores": inputs.softmax_rows(0, (2, 9), dtype), "keep": 9}, 0)
        yield Case("S7", "select", {"scores": inputs.zeros((0, 9), dtype), "keep": 4}, 0)


def _prune():
    for dtype in DTYPES:
        features = inputs.normal(0, (2, 9, 3), dtype)
        yield Case("S5", "gather", {"features": features, "indices": inputs.some_tokens(1, (2, 9), 4)}, 0)
        cls_attention = inputs.sixtyfourths(1, (2, 2, 4, 9), dtype, 5)
        arguments = {"features": features, "cls_attention": cls_attention, "keep": 4, "reduce": "sum"}
        yield Case("S5", "prune", arguments, 0)
    for layers, depth, feature_layer in ((3, 24, -2), (1, 24, -2), (2, 24, -1), ((-2, -4), 24, -2), (1, 24, 1)):
        yield Case("S6", "resolve_layers", {"layers": layers, "depth": depth, "feature_layer": feature_layer}, 0)
