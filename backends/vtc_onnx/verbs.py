"""The verbs of `vtc_core.spec`, NumPy arrays in and out, computed by ONNX Runtime from the graphs in `graph.py`."""

from typing import SupportsIndex

import numpy as np
from jaxtyping import Float, Int64, Integer, Shaped

from vtc_core import Pruned, checks

from . import sessions


@checks.before(checks.attend)
def attend(
    query: Float[np.ndarray, "batch heads head_dim"],
    keys: Float[np.ndarray, "batch heads length head_dim"],
    scale: float,
) -> Float[np.ndarray, "batch heads length-1"]:
    """S1: one row of softmax attention, the CLS query against all keys (length = 1 + tokens); float32 at least."""
    wide = np.promote_types(query.dtype, np.float32)
    return sessions.run("attend", query=query, keys=keys, scale=np.asarray(scale, wide))[0]


@checks.before(checks.score)
def score(
    cls_attention: Float[np.ndarray, "layers batch heads tokens"], reduce: str = "sum"
) -> Float[np.ndarray, "batch tokens"]:
    """S2: mean over heads, then `reduce` over layers ('sum', 'mean', 'max', 'min'); accumulated in float32 at least."""
    return sessions.run("score", reduce, cls_attention=cls_attention)[0]


@checks.before(checks.select)
def select(scores: Float[np.ndarray, "batch tokens"], keep: SupportsIndex) -> Int64[np.ndarray, "batch keep"]:
    """S3: the `keep` highest scores in raster order; the lower index wins ties, NaN is last. S4: `keep` in [1, tokens].

    `keep` is an input of the graph: one session serves every budget.
    """
    return sessions.run("select", scores=scores, keep=np.asarray(keep, np.int64))[0]


@checks.before(checks.gather)
def gather(
    features: Shaped[np.ndarray, "batch tokens dim"], indices: Integer[np.ndarray, "batch keep"]
) -> Shaped[np.ndarray, "batch keep dim"]:
    """S5: a copy of the kept tokens, bit for bit. `indices` lie in [0, tokens)."""
    return sessions.run("gather", features=features, indices=indices.astype(np.int64))[0]


@checks.before(checks.prune)
def prune(
    features: Shaped[np.ndarray, "batch tokens dim"],
    cls_attention: Float[np.ndarray, "layers batch heads tokens"],
    keep: SupportsIndex,
    reduce: str = "sum",
) -> Pruned:
    """S2 to S5 in a row, one graph: score the tokens, select `keep` of them, gather their features."""
    return Pruned(
        *sessions.run("prune", reduce, features=features, cls_attention=cls_attention, keep=np.asarray(keep, np.int64))
    )
