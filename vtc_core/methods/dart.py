"""DART, as it can be before the language model: a spread around pivots."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Bool, Float

from vtc_core import arguments
from vtc_core.spec import resolve_layers

from .method import Choice, Method, Seen
from .parts import best, cosine, mask, prefix, ranked, wide


@dataclass(frozen=True)
class Dart(Method):
    """A few pivots, and for each in turn the free tokens least similar to it (DART, EMNLP 2025, section 4).

        pivots  the tokens with the largest L1 norm of their keys;  each takes those with the lowest cos(x_pivot, x_j)

    Deviations: published for a layer of the language model, where pivots are of the text, too; here of the picture
    alone, with the encoder's keys and features. Pivots are served by falling norm (there in the order of a Python set).
    The budget is met: `keep` less the pivots is shared evenly, the first pivots take one more.
    """

    name: ClassVar[str] = "dart"
    looks_at: ClassVar[str] = "what is unlike a few pivots"
    source: ClassVar[str] = "arXiv 2502.11494"
    needs: ClassVar[tuple[str, ...]] = ("keys", "features")

    pivots: int = 8

    def __post_init__(self) -> None:
        arguments.count("pivots", self.pivots)

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return resolve_layers(1, depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp, tokens = array_namespace(seen.features), seen.features.shape[1]
        norms = xp.sum(xp.abs(wide(seen.keys)), axis=(2, 3))
        count = min(self.pivots, keep)
        pivots = ranked(norms)[:, : self.pivots]
        similarity = cosine(v.gather(seen.features, pivots), seen.features)
        counts = [max((keep - 1 - nth) // count, 0) for nth in range(pivots.shape[1])]
        taken = spread(v, similarity, counts, mask(prefix(pivots, count), tokens))
        return Choice(v.select(xp.where(taken, 1.0, 0.0), keep), norms)


def spread(
    v: ModuleType,
    similarity: Float[Any, "batch pivots tokens"],
    counts: Sequence[int],
    taken: Bool[Any, "batch tokens"],
) -> Bool[Any, "batch tokens"]:
    """`taken`, and what pivots take in turn: each the `counts` free tokens that are least similar to it."""
    xp, tokens = array_namespace(similarity), similarity.shape[2]
    for nth, count in enumerate(counts):
        free = xp.where(taken, -xp.inf, -similarity[:, nth])
        taken = taken | mask(best(v, free, count), tokens)
    return taken
