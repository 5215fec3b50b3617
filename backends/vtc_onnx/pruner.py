"""`prune` with its settings."""

from typing import SupportsIndex

import numpy as np
from jaxtyping import Float, Shaped

from vtc_core import Pruned, checks

from .verbs import prune


class Pruner:
    """Arrays in, `Pruned` out: keeps `keep` tokens of each picture, in an ONNX Runtime session.

    The session is made at the first call for a pair of dtypes, and shared with `prune`.
    """

    def __init__(self, keep: SupportsIndex, reduce: str = "sum") -> None:
        checks.budget(keep)
        checks.reduction(reduce)
        self.keep = int(keep)
        self.reduce = reduce

    def __call__(
        self,
        features: Shaped[np.ndarray, "batch tokens dim"],
        cls_attention: Float[np.ndarray, "layers batch heads tokens"],
    ) -> Pruned:
        return prune(features, cls_attention, self.keep, self.reduce)

    def __repr__(self) -> str:
        return f"Pruner(keep={self.keep}, reduce={self.reduce!r})"
