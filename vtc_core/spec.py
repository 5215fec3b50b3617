"""Visual-token pruning by [CLS] attention, training-free: the whole definition, to be read top to bottom.

A vision transformer turns a picture into `tokens` patch tokens and one [CLS] token. The attention that [CLS] pays to a
patch, averaged over heads and ensembled over the last few layers, tells how much the patch matters; the `keep` patches
that matter most go to the language model, unchanged and in raster order (VTC-CLS, arXiv 2412.05819, section 3).

    attend -> score -> select -> gather        prune = score + select + gather

Words: `batch` pictures, `layers` ensembled, `heads`, `tokens` patch tokens of a picture (CLS excluded), `keep` tokens
kept, `dim` feature size, raster order = ascending patch index. Clauses S1 to S9 are those that the tests name.

S7 independence: row b of every result depends on row b of the inputs alone; every batch size works, 0 included.
S8 exactness: a kept token is never changed; a pruned encoder returns the unpruned one's features at the kept indices.
S9 determinism: same inputs, same device, same bits.
"""

from collections.abc import Sequence
from typing import NamedTuple, SupportsIndex

import numpy as np
from jaxtyping import Float, Integer, Shaped

from . import checks


class Pruned(NamedTuple):
    """What pruning returns; every backend has one, with its own arrays."""

    features: Shaped[np.ndarray, "batch keep dim"]  # a copy of the kept tokens
    indices: Integer[np.ndarray, "batch keep"]  # ascending
    scores: Float[np.ndarray, "batch tokens"]  # of all tokens, float32 at least


def _wide(x: np.ndarray) -> np.dtype:
    """The dtype to accumulate in: float32 at least."""
    return np.promote_types(x.dtype, np.float32)


@checks.before(checks.attend)
def attend(
    query: Float[np.ndarray, "batch heads head_dim"],
    keys: Float[np.ndarray, "batch heads length head_dim"],
    scale: float,
) -> Float[np.ndarray, "batch heads length-1"]:
    """S1: one row of softmax attention, the CLS query against all keys, length = 1 + tokens of them, CLS first.

    In float32 at least, whatever comes in. The CLS column takes its share of the softmax and is dropped; the rest is
    not renormalised.
    """
    wide = _wide(query)
    logits = scale * np.einsum("bhd,bhnd->bhn", query.astype(wide), keys.astype(wide))
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True))[..., 1:]


@checks.before(checks.score)
def score(
    cls_attention: Float[np.ndarray, "layers batch heads tokens"], reduce: str = "sum"
) -> Float[np.ndarray, "batch tokens"]:
    """S2: mean over heads, then `reduce` over layers: 'sum', 'mean', 'max' or 'min'. Accumulated in float32 at least.

    16-bit sums would tie at the cut in 2-13 % (float16) or 14-40 % (bfloat16) of pictures and change what is kept.
    """
    per_layer = cls_attention.mean(axis=2, dtype=_wide(cls_attention))  # layers batch tokens
    return {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}[reduce](per_layer, axis=0)


@checks.before(checks.select)
def select(scores: Float[np.ndarray, "batch tokens"], keep: SupportsIndex) -> Integer[np.ndarray, "batch keep"]:
    """S3: the `keep` highest scores, in raster order. S4: `keep` in [1, tokens]; all of them is the identity.

    The order is total: of equal scores the lower index wins, -0.0 equals 0.0, +inf is first and NaN last, after -inf.
    """
    scores = scores.astype(_wide(scores))  # exact; in bfloat16 (ml_dtypes) the next line would not hold
    ranked = np.argsort(-scores, axis=-1, kind="stable")  # NumPy sorts NaN to the end, among equals by index
    return np.sort(ranked[:, : int(keep)], axis=-1)


@checks.before(checks.gather)
def gather(
    features: Shaped[np.ndarray, "batch tokens dim"], indices: Integer[np.ndarray, "batch keep"]
) -> Shaped[np.ndarray, "batch keep dim"]:
    """S5: a copy of the kept tokens, bit for bit, in the dtype of `features`. `indices` lie in [0, tokens)."""
    return np.take_along_axis(features, indices[:, :, None], axis=1)


@checks.before(checks.prune)
def prune(
    features: Shaped[np.ndarray, "batch tokens dim"],
    cls_attention: Float[np.ndarray, "layers batch heads tokens"],
    keep: SupportsIndex,
    reduce: str = "sum",
) -> Pruned:
    """S2 to S5 in a row: score the tokens, select `keep` of them, gather their features."""
    scores = score(cls_attention, reduce)
    indices = select(scores, keep)
    return Pruned(gather(features, indices), indices, scores)


@checks.before(checks.resolve_layers)
def resolve_layers(
    layers: SupportsIndex | Sequence[SupportsIndex], depth: int, feature_layer: int = -2
) -> tuple[int, ...]:
    """S6: the numbers of the layers to ensemble, ascending, of an encoder with `depth` layers (0 to depth - 1).

    `feature_layer` is the hidden state that feeds the projector, as in `hidden_states[feature_layer]`: 0 are the
    embeddings, i + 1 is what layer i makes, -1 the last. The layer that makes it is the last useful one: later layers
    feed nobody, and naming one is an error.
    `layers` is K (the last K useful layers) or a sequence of layer numbers, negative ones as in `attentions[i]`.

    >>> resolve_layers(3, depth=24)
    (20, 21, 22)
    """
    if isinstance(layers, Sequence):
        return tuple(sorted(int(layer) % depth for layer in layers))
    last = checks.last_layer(depth, feature_layer)
    return tuple(range(last + 1 - int(layers), last + 1))
