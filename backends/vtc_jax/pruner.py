"""`prune` with its settings, as a module."""

from typing import SupportsIndex

from flax import nnx
from jax import Array
from jaxtyping import Float, Shaped

from vtc_core import checks

from .verbs import Pruned, prune


class Pruner(nnx.Module):
    """Arrays in, `Pruned` out: keeps `keep` tokens of each picture.

    Has no parameters: its settings are static, in the graph definition of `nnx.split`, and its state is empty.
    """

    def __init__(self, keep: SupportsIndex, reduce: str = "sum") -> None:
        checks.budget(keep)
        checks.reduction(reduce)
        self.keep = int(keep)
        self.reduce = reduce

    def __call__(
        self,
        features: Shaped[Array, "batch tokens dim"],
        cls_attention: Float[Array, "layers batch heads tokens"],
    ) -> Pruned:
        return prune(features, cls_attention, self.keep, self.reduce)
