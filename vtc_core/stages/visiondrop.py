"""VisionDrop: what visual tokens attend to among themselves, and a few mixtures of what is left."""

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from array_api_compat import array_namespace

from vtc_core import arguments
from vtc_core.methods import Choice
from vtc_core.methods.parts import at, best, prefix, wide
from vtc_core.methods.visionzip import anchored

from .attention import mean_map
from .budgets import Keep, ascending, budgets, counted, falling, per_layer
from .ends import mixing, unchanged
from .stage import Running, Stage


@dataclass(frozen=True)
class VisionDrop(Stage):
    """Visual tokens to which visual ones attend, the others merged as VisionZip does (VisionDrop, AAAI 2026).

        s_j        mean over heads and visual i of softmax over k <= i (q_i . k / sqrt(d))[h, j],  of the layer after
                   the cut, made of the hidden states before it
        dominant   the highest s_j;  the others merged around `contextual` anchors, by cosine of mean_h k[h, j]
        left       dominant tokens, then x_anchor + mean of the x_j in its slot, without places

    `dominant` has a share of the N visual tokens that entered, or a count, for every layer, `contextual` a count. Of no
    more tokens than both together all stay. Positions are renumbered. Mixtures are tokens as others in later stages.

    Deviations: the stages inside the language model; those before it are VisionZip's (with 42 + 6 tokens). kv heads
    serve several query heads.
    """

    name: ClassVar[str] = "visiondrop"
    looks_at: ClassVar[str] = "attention among visual tokens; keys"
    source: ClassVar[str] = "arXiv 2506.22283"
    needs: ClassVar[tuple[str, ...]] = ("query", "keys")
    rows: ClassVar[str] = "visual"
    ahead: ClassVar[bool] = True
    renumbers: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    layers: tuple[int, ...] = (8, 16, 24)
    dominant: tuple[Keep, ...] = (30, 22, 16)
    contextual: tuple[int, ...] = (5, 4, 3)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", ascending(self.layers))
        object.__setattr__(self, "dominant", budgets("dominant", self.dominant, self.layers))
        object.__setattr__(self, "contextual", per_layer("contextual", self.contextual, self.layers, arguments.whole))

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        both = zip(self.dominant, self.contextual, strict=True)
        return falling(self.layers, [counted(keep, tokens) + slots for keep, slots in both], depth, tokens)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        xp, tokens = array_namespace(seen.keys), seen.visual.shape[1]
        rows = mean_map(seen.query, seen.keys, scale, seen.visual)
        scores = at(v, xp.mean(rows, axis=1), seen.visual)
        if keep >= tokens:
            return unchanged(scores)
        contextual = min(self.contextual[self.layers.index(layer)], keep)
        slots = max(contextual, 1)  # cut to `contextual` at the end: nothing has to be done for none
        dominant = best(v, scores, keep - contextual)
        keys = v.gather(xp.mean(wide(seen.keys), axis=1), seen.visual)
        _, mixed = anchored(v, keys, dominant, slots)
        return mixing(scores, dominant, prefix(mixed, contextual))
