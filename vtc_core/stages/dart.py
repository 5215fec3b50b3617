"""DART: what is unlike a few pivots, of the picture and of the text."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Int

from vtc_core import arguments
from vtc_core.methods import Choice
from vtc_core.methods.dart import spread
from vtc_core.methods.parts import at, cosine, mask, prefix, ranked, wide

from .attention import text
from .budgets import Keep, before, budget, counted
from .stage import Running, Stage


@dataclass(frozen=True)
class Dart(Stage):
    """A few pivots, and for each in turn the free visual tokens least similar to it (DART, EMNLP 2025).

        pivots  the visual tokens, and the tokens after them, with the largest L1 norm of their keys (layer - 1)
        left    visual pivots, and for each pivot the tokens with the lowest cos(x_pivot, x_j), of the hidden states
                before the layer through the language model's last norm

    `keep` is a share of the N visual tokens that entered, or a count. Positions stay.

    Deviations: pivots are served by falling norm, visual ones first (there in the order of a Python set). The budget
    is met: what visual pivots leave of it is shared evenly, the first pivots take one more (there 124 of 128). Where
    fewer tokens than `pivots_text` stand after the pictures, text before them serves as well.
    """

    name: ClassVar[str] = "dart"
    looks_at: ClassVar[str] = "what is unlike a few pivots"
    source: ClassVar[str] = "arXiv 2502.11494"
    needs: ClassVar[tuple[str, ...]] = ("keys", "normed")

    layer: int = 5
    keep: Keep = 0.222
    pivots_image: int = 4
    pivots_text: int = 4

    def __post_init__(self) -> None:
        arguments.count("layer", self.layer)
        budget("keep", self.keep)
        arguments.count("pivots_image", self.pivots_image)
        arguments.whole("pivots_text", self.pivots_text)

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        return ((before(self.layer, depth), counted(self.keep, tokens, round)),)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        xp, tokens = array_namespace(seen.keys), seen.visual.shape[1]
        norms = xp.sum(xp.abs(wide(seen.keys)), axis=(1, 3))
        scores = at(v, norms, seen.visual)
        of_image, of_text = self.pivots(v, seen, norms)
        of_image = prefix(of_image, min(keep, of_image.shape[1]))
        pivots = xp.concat([at(v, seen.visual, of_image), of_text], axis=1)
        similarity = cosine(v.gather(seen.normed, pivots), v.gather(seen.normed, seen.visual))
        left, count = keep - of_image.shape[1], pivots.shape[1]
        counts = [(left - nth + count - 1) // count for nth in range(count)]
        taken = spread(v, similarity, counts, mask(of_image, tokens))
        return Choice(v.select(xp.where(taken, 1.0, 0.0), max(keep, 1))[:, :keep], scores)

    def pivots(
        self, v: ModuleType, seen: Running, norms: Any
    ) -> tuple[Int[Any, "batch of_image"], Int[Any, "batch of_text"]]:
        """Indices into the visual tokens, and positions of text, by falling norm."""
        xp = array_namespace(norms)
        of_image = ranked(at(v, norms, seen.visual))[:, : self.pivots_image]
        where = text(v, seen.visual, norms.shape[1])
        if not where.shape[1]:
            return of_image, where
        length = at(v, norms, where)
        after = where > seen.visual[:, -1:]
        order = ranked(xp.where(after, length, -1 / (1 + length)))[:, : self.pivots_text]
        return of_image, at(v, where, order)
