"""HiPrune: anchors of a middle layer with their neighbours, and what the deep layer attends to."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Bool, Int

from vtc_core import arguments, checks
from vtc_core.spec import resolve_layers

from .method import Choice, Method, Seen
from .parts import at, first, ranked, wide


@dataclass(frozen=True)
class HiPrune(Method):
    """Anchors with their neighbours, filled up with what the deep layer attends to (arXiv 2508.00553).

        g_j     mean_h mean_i softmax(q_i . k / sqrt(d))[h, j], of the object layer and of the last useful layer
        anchors the round(keep * alpha / 5) highest g of the object layer, half to even
        pool    anchors and the tokens 1 and `width` before and after them, on the flat index, clamped to the tile
        kept    the pool, then the highest g of the last useful layer, in raster order

    On the flat index, as coded: the right edge's neighbour is the next row's first token, and an anchor in the first
    or last row pulls in the tile's first or last token. `object_layer` None is depth // 3 (8 of 24 in the code).
    Tokens that are not there (un-padded tiles) and those of other tiles are no neighbours.

    Deviations: a pool of more than `keep` tokens is cut to those that the last layer attends to most (there an error).
    """

    name: ClassVar[str] = "hiprune"
    looks_at: ClassVar[str] = "attention from all, two layers"
    source: ClassVar[str] = "arXiv 2508.00553"
    needs: ClassVar[tuple[str, ...]] = ("received_attention",)

    alpha: int | float = 0.1
    object_layer: int | None = None

    def __post_init__(self) -> None:
        arguments.number("alpha", self.alpha, 0.0, 1.0)
        if self.object_layer is not None and not arguments.is_integer(self.object_layer):
            raise TypeError(f"object_layer must be the number of a layer or None, got {self.object_layer!r}")

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        last = checks.last_layer(depth, feature_layer)
        layer = min(depth // 3, last) if self.object_layer is None else self.object_layer
        return tuple(sorted({*resolve_layers((layer,), depth, feature_layer), last}))

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        received = wide(seen.received_attention)
        anchors = ranked(received[:, :, 0])[:, : round(keep * self.alpha / 5)]
        return Choice(*first(v, around(v, anchors, seen.places, seen.tile), received[:, :, -1], keep))


def around(
    v: ModuleType,
    anchors: Int[Any, "batch anchors"],
    places: Int[Any, "batch tokens 2"],
    tile: Int[Any, "batch tokens"],
) -> Bool[Any, "batch tokens"]:
    """Anchors and their neighbours on the flat index."""
    xp = array_namespace(anchors)
    width = xp.max(places[:, :, 1], axis=1, keepdims=True) + 1
    flat = places[:, :, 0] * width + places[:, :, 1]
    same = tile[:, None, :] == at(v, tile, anchors)[:, :, None]  # batch anchors tokens
    everywhere = xp.where(same, flat[:, None, :], at(v, flat, anchors)[:, :, None])
    lowest, highest = xp.min(everywhere, axis=2), xp.max(everywhere, axis=2)
    found = tile != tile
    for step in (0 * width, 0 * width - 1, 0 * width + 1, -width, width):
        spot = xp.minimum(xp.maximum(at(v, flat, anchors) + step, lowest), highest)
        found = found | xp.any(same & (flat[:, None, :] == spot[:, :, None]), axis=1)
    return found
