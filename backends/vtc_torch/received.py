"""Signals that need all queries: how much attention a patch receives, without the map that would tell.

This is not VTC-CLS. SigLIP has no token whose attention says what matters to the picture as a whole, so that the
patches say it themselves, each with the same weight: the mean of the columns of the attention map, not one row of it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vtc_core import checks


@checks.before(checks.received_attention)
@torch.no_grad()
def received_attention(
    query: Float[Tensor, "batch heads tokens head_dim"],
    keys: Float[Tensor, "batch heads length head_dim"],
    scale: float,
    block: int = 64,
    weights: Float[Tensor, "batch tokens"] | None = None,
) -> Float[Tensor, "batch heads tokens"]:
    """The mean attention that each token receives from all query tokens, in float32 at least.

    The last keys are those of the query tokens (length = tokens, or 1 + tokens with CLS, which takes
    its share of every softmax and is then dropped, as in `attend`). Cast the result of `score` and `select` over it as
    over CLS attention. With `weights` the mean is over the queries with these weights; their sum must not be 0.

    `block` queries are taken at a time: (batch heads block length) numbers of the map exist at once, so that memory
    grows with tokens, not with their square. The sum over blocks differs between block sizes by rounding only.
    No gradient flows: autograd would keep every block, which is the whole map.
    """
    with torch.autocast(query.device.type, enabled=False):
        tokens, wide = query.shape[2], torch.promote_types(query.dtype, torch.float32)
        columns = scale * keys.to(wide).transpose(2, 3)  # batch heads head_dim length
        total = columns.new_zeros(columns.shape[:2] + columns.shape[3:])  # batch heads length
        shares = None if weights is None else (weights / weights.sum(1, keepdim=True)).to(wide)[:, None, :, None]
        for start in range(0, tokens, block):
            some = slice(start, start + block)
            rows = (query[:, :, some].to(wide) @ columns).softmax(-1)  # batch heads block length
            total += (rows if shares is None else rows * shares[:, :, some]).sum(2)
        return total[..., -tokens:] / (tokens if shares is None else 1)


def sinks(
    query: Float[Tensor, "batch heads tokens head_dim"],
    keys: Float[Tensor, "batch heads length head_dim"],
    scale: float,
    threshold: float,
) -> Float[Tensor, "batch tokens"]:
    """What the sinks among the patches attend to: the mean over heads and over the queries of sinks.

    A sink receives more than `threshold` times the mean attention (VFlowOpt); the one that receives most is always one.
    """
    got = received_attention(query, keys, scale).mean(1)  # batch tokens
    is_sink = (got > threshold * got.mean(1, keepdim=True)) | (got == got.amax(1, keepdim=True))
    return received_attention(query, keys, scale, weights=is_sink.to(got)).mean(1)
