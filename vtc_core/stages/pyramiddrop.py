"""PyramidDrop: what the last token attends to, in several layers, each time fewer."""

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from vtc_core.methods import Choice
from vtc_core.methods.parts import best

from .attention import of_last
from .budgets import Keep, ascending, budgets, counted, falling
from .stage import Running, Stage


@dataclass(frozen=True)
class PyramidDrop(Stage):
    """Before each of the layers, the visual tokens to which its last query attends most (PyramidDrop, CVPR 2025).

        s_j = mean_h softmax(q_last . k / sqrt(d))[h, j]  of the layer after the cut, made of the hidden states before
              it;  the floor(keep * N) highest, of those that are left

    `keep` has for every layer a share of the N visual tokens that entered, or a count. Positions are renumbered.

    Deviations: kv heads serve several query heads, several pictures are scored as one (there one picture a prompt and
    as many heads of both). In training, too, one row asks: the last (there the mean of those before answers).
    """

    name: ClassVar[str] = "pyramiddrop"
    looks_at: ClassVar[str] = "attention of the last token"
    source: ClassVar[str] = "arXiv 2410.17247"
    needs: ClassVar[tuple[str, ...]] = ("query", "keys")
    ahead: ClassVar[bool] = True
    renumbers: ClassVar[bool] = True

    layers: tuple[int, ...] = (8, 16, 24)
    keep: tuple[Keep, ...] = (0.5, 0.25, 0.125)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", ascending(self.layers))
        object.__setattr__(self, "keep", budgets("keep", self.keep, self.layers))

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        return falling(self.layers, [counted(keep, tokens) for keep in self.keep], depth, tokens)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        scores = of_last(v, seen, scale)
        return Choice(best(v, scores, keep), scores)
