"""AIM, its second half: tokens that a walk along the attention of the language model ends at."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Float

from vtc_core import arguments
from vtc_core.methods import Choice
from vtc_core.methods.parts import arange, at, best

from .attention import causal, per_head, softmax
from .budgets import before
from .stage import Running, Stage


@dataclass(frozen=True)
class AimPageRank(Stage):
    """After every layer from `start` on, the visual tokens where a walk along attention ends (AIM, ICCV 2025).

        M_h  softmax(q . k / sqrt(d) / temperature)  of layer l, causal;  v_h = 1/L, then `steps` times v_h M_h
        s_j  sqrt(mean_h v_h[j]^2);  after layer l the floor(N max(0, 1 - slope (l - start + 1))) highest

    A layer later an eighth of the N visual tokens that entered is gone, after eight of them all. Positions stay. In
    language models of less than `start` + 2 layers there is no such place, and the stage is refused.

    Deviations: tokens are dropped; there they stay in the sequence, masked, and save nothing, and a walk still starts
    at them. The number of text tokens of each prompt counts for itself (there that of the first).
    """

    name: ClassVar[str] = "aim"
    looks_at: ClassVar[str] = "PageRank of attention"
    source: ClassVar[str] = "arXiv 2412.03248"
    needs: ClassVar[tuple[str, ...]] = ("query", "keys")
    rows: ClassVar[str] = "all"

    start: int = 14
    slope: int | float = 0.125
    temperature: int | float = 0.1
    steps: int = 5

    def __post_init__(self) -> None:
        arguments.whole("start", self.start)
        arguments.number("slope", self.slope, 0.0, 1.0)
        arguments.number("temperature", self.temperature, 1e-3, 1e3)
        arguments.count("steps", self.steps)

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        made, cut = [], before(self.start + 1, depth)
        for layer in range(cut, depth):
            made.append((layer, int(tokens * max(0.0, 1 - self.slope * (layer - self.start)))))
            if not made[-1][1]:
                break
        return tuple(made)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        scores = at(v, page_rank(seen.query, seen.keys, scale / self.temperature, self.steps), seen.visual)
        return Choice(best(v, scores, keep), scores)


def page_rank(
    query: Float[Any, "batch heads length head_dim"],
    keys: Float[Any, "batch kv_heads length head_dim"],
    scale: float,
    steps: int,
) -> Float[Any, "batch length"]:
    """The root mean square over heads of where a causal walk is after `steps` steps from anywhere."""
    xp, length = array_namespace(query), query.shape[2]
    among, squares = causal(arange(length, query)[None, :], length)[:, None], []
    for logits in per_head(query, keys, scale):
        attention = softmax(logits, among)
        walk = xp.ones_like(attention[:, :, :1]) / length
        for _ in range(steps):
            walk = xp.matmul(walk, attention)
        squares.append(xp.sum(walk[:, :, 0] ** 2, axis=1))
    return xp.sqrt(sum(squares) / query.shape[1])
