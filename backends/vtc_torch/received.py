"""The signal for towers without CLS: how much attention a patch receives, without the map that would tell.

This is not VTC-CLS. SigLIP has no token whose attention says what matters to the picture as a whole, so that the
patches say it themselves, each with the same weight: the mean of the columns of the attention map, not one row of it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vtc_core import checks


@checks.before(checks.received)
@torch.no_grad()
def received(
    query: Float[Tensor, "batch heads tokens head_dim"],
    keys: Float[Tensor, "batch heads length head_dim"],
    scale: float,
    block: int = 64,
) -> Float[Tensor, "batch heads tokens"]:
    """The mean attention that each patch receives from all patches, in float32 at least.

    Asking are the patches alone; answering are all keys, the patches last (length = tokens, or 1 + tokens with CLS,
    which takes its share of every softmax and is then dropped, as in `attend`). Cast the result of `score` and
    `select` over it as over CLS attention.

    `block` queries are asked at a time: (batch heads block length) numbers of the map exist at once, so that memory
    grows with tokens, not with their square. The sum over blocks differs between block sizes by rounding only.
    No gradient flows: autograd would keep every block, which is the whole map.
    """
    with torch.autocast(query.device.type, enabled=False):
        tokens, wide = query.shape[2], torch.promote_types(query.dtype, torch.float32)
        columns = scale * keys.to(wide).transpose(2, 3)  # batch heads head_dim length
        total = columns.new_zeros(columns.shape[:2] + columns.shape[3:])  # batch heads length
        for asking in query.split(block, dim=2):
            total += (asking.to(wide) @ columns).softmax(-1).sum(2)  # batch heads block length, then without block
        return total[..., -tokens:] / tokens
