"""FastV: what the last token of the prompt attends to, in an early layer."""

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from vtc_core import arguments
from vtc_core.methods import Choice
from vtc_core.methods.parts import best

from .attention import of_last
from .budgets import Keep, before, budget, counted
from .stage import Running, Stage


@dataclass(frozen=True)
class FastV(Stage):
    """The visual tokens to which the last token attends most, in the layer before the cut (FastV, ECCV 2024).

        s_j = mean_h softmax(q_last . k / sqrt(d))[h, j]  of layer - 1;  before `layer`, the round(keep * N) highest

    `keep` is a share of the N visual tokens that entered, or their count. Positions stay. A share that rounds to 0
    drops all of them.

    Deviations: prompts of a batch are scored one by one (there all by the first one's scores).
    """

    name: ClassVar[str] = "fastv"
    looks_at: ClassVar[str] = "attention of the last token"
    source: ClassVar[str] = "arXiv 2403.06764"
    needs: ClassVar[tuple[str, ...]] = ("query", "keys")

    layer: int = 2
    keep: Keep = 0.5

    def __post_init__(self) -> None:
        arguments.count("layer", self.layer)
        budget("keep", self.keep)

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        return ((before(self.layer, depth), counted(self.keep, tokens, round)),)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        scores = of_last(v, seen, scale)
        return Choice(best(v, scores, keep), scores)
