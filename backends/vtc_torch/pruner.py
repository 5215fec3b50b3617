"""`prune` with its settings, as a module."""

from typing import SupportsIndex

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vtc_core import checks

from .verbs import Pruned, prune


class Pruner(nn.Module):
    """Arrays in, `Pruned` out: keeps `keep` tokens of each picture.

    Has no parameters and no buffers: its settings are in `repr` and nothing of it is in a `state_dict`.
    """

    def __init__(self, keep: SupportsIndex, reduce: str = "sum") -> None:
        super().__init__()
        checks.budget(keep)
        checks.reduction(reduce)
        self.keep = int(keep)
        self.reduce = reduce

    def forward(
        self,
        features: Shaped[Tensor, "batch tokens dim"],
        cls_attention: Float[Tensor, "layers batch heads tokens"],
    ) -> Pruned:
        return prune(features, cls_attention, self.keep, self.reduce)

    def extra_repr(self) -> str:
        return f"keep={self.keep}, reduce={self.reduce!r}"
