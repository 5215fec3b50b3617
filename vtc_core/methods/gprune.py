"""G-Prune: the length of features, spread over a graph of similar tokens."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Float

from vtc_core import arguments

from .method import Choice, Method, Seen
from .parts import cosine, softmax, wide


@dataclass(frozen=True)
class GPrune(Method):
    """The tokens where most of the features' length arrives after a few steps along similarities (AAAI 2025).

        A_ij = cos(p_i, p_j), 0 below `threshold`;   W = softmax_j(A_ij / temperature), no edge where A is 0
        s    = (|p|^T W^steps)_i / #{j: W_ij > 0},   the `keep` highest, in raster order

    Base tile and crops apart, as in the code. Deviations: rows are pushed `steps` times through W instead of raising it
    to a power (the same, for less); row ends (newlines) are no tokens here; accumulated in float32, not float16.
    """

    name: ClassVar[str] = "gprune"
    looks_at: ClassVar[str] = "lengths over similar tokens"
    source: ClassVar[str] = "arXiv 2501.02268"
    needs: ClassVar[tuple[str, ...]] = ("projected",)

    threshold: int | float = 0.5
    temperature: int | float = 0.03
    steps: int = 5

    def __post_init__(self) -> None:
        arguments.number("threshold", self.threshold, 0.0, 1.0)
        arguments.number("temperature", self.temperature, 1e-3, float("inf"))
        arguments.count("steps", self.steps)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        scores = spread_lengths(seen.projected, self.threshold, self.temperature, self.steps)
        return Choice(v.select(scores, keep), scores)


def spread_lengths(
    projected: Float[Any, "batch tokens dim"], threshold: float, temperature: float, steps: int
) -> Float[Any, "batch tokens"]:
    """s of the formula."""
    xp = array_namespace(projected)
    edges = cosine(projected, projected)
    edges = xp.where(edges < threshold, 0.0, edges) / temperature
    edges = xp.where(xp.abs(edges) < 1e-6, -5000.0, edges)
    weights = softmax(edges)
    features = wide(projected)
    lengths = xp.sqrt(xp.sum(features * features, axis=2))[:, None, :]
    for _ in range(steps):
        lengths = xp.matmul(lengths, weights)
    return lengths[:, 0] / xp.sum(xp.where(weights > 0, 1.0, 0.0), axis=2)
