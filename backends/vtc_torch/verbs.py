"""The verbs of `vtc_core.spec` on torch tensors, any device; clause numbers are the specification's."""

from typing import NamedTuple, SupportsIndex

import torch
from jaxtyping import Float, Int64, Integer, Shaped
from torch import Tensor

from vtc_core import checks
from vtc_core import scan as scan


class Pruned(NamedTuple):
    """What pruning returns."""

    features: Shaped[Tensor, "batch keep dim"]  # a copy of the kept tokens
    indices: Int64[Tensor, "batch keep"]  # ascending
    scores: Float[Tensor, "batch tokens"]  # of all tokens, float32 at least


def _wide(x: Tensor) -> torch.dtype:
    """The dtype to accumulate in: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


@checks.before(checks.attend)
def attend(
    query: Float[Tensor, "batch heads head_dim"], keys: Float[Tensor, "batch heads length head_dim"], scale: float
) -> Float[Tensor, "batch heads length-1"]:
    """S1: one row of softmax attention, the CLS query against all keys (length = 1 + tokens); float32 at least.

    Autocast is off inside: it would take the products of the logits back to 16 bits.
    """
    with torch.autocast(query.device.type, enabled=False):
        wide = _wide(query)
        logits = scale * (keys.to(wide) @ query.to(wide).unsqueeze(-1)).squeeze(-1)  # batch heads 1+tokens
        return logits.softmax(-1)[..., 1:]


@checks.before(checks.score)
def score(
    cls_attention: Float[Tensor, "layers batch heads tokens"], reduce: str = "sum"
) -> Float[Tensor, "batch tokens"]:
    """S2: mean over heads, then `reduce` over layers ('sum', 'mean', 'max', 'min'); accumulated in float32 at least."""
    per_layer = cls_attention.mean(2, dtype=_wide(cls_attention))  # layers batch tokens
    return {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}[reduce](per_layer, dim=0)


@checks.before(checks.select)
def select(scores: Float[Tensor, "batch tokens"], keep: SupportsIndex) -> Int64[Tensor, "batch keep"]:
    """S3: the `keep` highest scores in raster order; the lower index wins ties, NaN is last. S4: `keep` in [1, tokens].

    A stable sort, since `torch.topk` breaks ties arbitrarily. One zero and one NaN are left before it, so that a sort
    on bit patterns (radix) obeys the order as well.
    """
    ascending = torch.where(scores.isnan(), torch.nan, 0.0 - scores)  # best first; NaN sorts to the end
    ranked = ascending.sort(dim=-1, stable=True).indices
    return ranked[:, : int(keep)].sort(dim=-1).values


@checks.before(checks.gather)
def gather(
    features: Shaped[Tensor, "batch tokens dim"], indices: Integer[Tensor, "batch keep"]
) -> Shaped[Tensor, "batch keep dim"]:
    """S5: a copy of the kept tokens, bit for bit; differentiable in `features`. `indices` lie in [0, tokens).

    By indexing, since `torch.gather` makes one NaN of all NaN in bfloat16.
    """
    rows = torch.arange(features.shape[0], device=features.device).unsqueeze(1)
    return features[rows, indices.long()]


@checks.before(checks.prune)
def prune(
    features: Shaped[Tensor, "batch tokens dim"],
    cls_attention: Float[Tensor, "layers batch heads tokens"],
    keep: SupportsIndex,
    reduce: str = "sum",
) -> Pruned:
    """S2 to S5 in a row: score the tokens, select `keep` of them, gather their features."""
    scores = score(cls_attention, reduce)
    indices = select(scores, keep)
    return Pruned(gather(features, indices), indices, scores)
