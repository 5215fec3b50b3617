"""GlobalCom2: the base tile says how much of the budget each crop of a picture gets."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from vtc_core import arguments

from .method import Choice, Method, Seen, following
from .parts import arange, at, first, ranks, wide
from .tiles import TILES, tiles, to_tokens, total, unit_in_tiles


@dataclass(frozen=True)
class GlobalCom2(Method):
    """Of a picture in tiles: by logits of CLS in the base tile, by quotas in its crops (AAAI 2026).

        z       mean_h q_cls . k / sqrt(d) of a tile, in the layer after the features
        sigma   softmax(Z / temperature) over crops, Z_t the sum of the base tile's z where crop t lies in it
        share   1 + sigma_t - mean sigma;  u the base tile's z, bilinearly enlarged to the joined, un-padded crops
        score   in the base tile z, in a crop z / ||z||_2 + u / ||u||_2, norms over the tokens of the crop

    Of `keep` the base tile has its part of the tokens, at least 1. A crop's quota is floor(size * share), scaled so
    that the sum is the rest of the budget; what is missing goes to the best scores left in crops. Fed are the base
    tile's tokens, then the crops', each in raster order. One tile alone: the `keep` highest z.

    Deviations: exactly `keep` tokens (there floor(tokens * ratio) of the base tile and floor(size * min(1, ratio *
    share)) of a crop); kept tokens stand at their own place (there, where a picture is padded, at their number among
    those that are no padding); a picture of one tile is allowed; tiles after the 63rd crop count as one with it.
    """

    name: ClassVar[str] = "globalcom2"
    looks_at: ClassVar[str] = "logits of CLS, tile by tile"
    source: ClassVar[str] = "arXiv 2501.05179"
    needs: ClassVar[tuple[str, ...]] = ("cls_logits",)
    whole_picture: ClassVar[bool] = True

    temperature: int | float = 10.0

    def __post_init__(self) -> None:
        arguments.number("temperature", self.temperature, 1e-6, float("inf"))

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return following(depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp, tokens = array_namespace(seen.tile), seen.tile.shape[1]
        size = xp.max(seen.places, axis=1, keepdims=True) + 1
        rows = xp.where(seen.tile > 0, size[:, :, 0], 0) + seen.places[:, :, 0]
        order = xp.argsort(rows * size[:, :, 1] + seen.places[:, :, 1], axis=1, stable=True)  # base tile, then raster
        places, tile = v.gather(seen.places, order), at(v, seen.tile, order)
        logits, of = at(v, wide(seen.cls_logits[:, :, -1]), order), tiles(tile)
        score = scores(v, logits, places, of)

        sizes = xp.sum(xp.where(of, 1, 0), axis=1)
        share = sizes * shares(logits, places, of, self.temperature)
        base, shared = keep * sizes[:, :1] // tokens, xp.sum(share, axis=1, keepdims=True)
        base = xp.where((base == 0) & (sizes[:, :1] > 0), 1, base)
        quota = xp.floor((keep - base) * share / xp.where(shared > 0, shared, 1.0))
        number = xp.argmax(xp.where(of, 1, 0), axis=2)
        in_order = xp.argsort(xp.argsort(number * tokens + ranks(score), axis=1), axis=1)
        better = in_order - to_tokens(of, xp.cumulative_sum(sizes, axis=1) - sizes)  # tokens of the same tile
        in_base = of[:, :, 0]
        # Quotas, then other crops for what quotas leave over; the base tile has no more than its part.
        groups = xp.where(in_base, xp.where(better < base, 3, 0), xp.where(better < to_tokens(of, quota), 2, 1))
        chosen, priority = first(v, groups, score, keep)
        return Choice(at(v, order, chosen), at(v, priority, xp.argsort(order, axis=1)))


def shares(
    logits: Float[Any, "batch tokens"],
    places: Int[Any, "batch tokens 2"],
    of: Bool[Any, "batch tokens tiles"],
    temperature: float,
) -> Float[Any, "batch tiles"]:
    """1 + sigma - mean sigma of crops; 0 of the base tile and of tiles that are not there."""
    xp = array_namespace(logits)
    crop = xp.any(of, axis=1) & (arange(TILES, places) > 0)[None, :]
    height, width = (xp.max(xp.where(of[:, :, 0], places[:, :, i], 0), axis=1, keepdims=True) + 1 for i in (0, 1))
    at_left, at_top = (xp.any(of & (places[:, :, i : i + 1] == 0), axis=1) & crop for i in (1, 0))
    down, across = (xp.sum(xp.where(edge, 1, 0), axis=1, keepdims=True) for edge in (at_left, at_top))
    cell = 1 + _cell(places[:, :, 0], height, down) * across + _cell(places[:, :, 1], width, across)
    inside = tiles(cell) & of[:, :, :1]
    power = total(inside, logits) / temperature
    highest = xp.max(xp.where(crop, power, -xp.inf), axis=1, keepdims=True)
    power = xp.where(crop, xp.exp(xp.where(crop, power - highest, 0.0)), 0.0)
    sigma = power / (xp.sum(power, axis=1, keepdims=True) + 1e-8)
    crops = xp.sum(xp.where(crop, 1, 0), axis=1, keepdims=True)
    return xp.where(crop, 1 + sigma - xp.sum(sigma, axis=1, keepdims=True) / xp.where(crops > 0, crops, 1), 0.0)


def scores(
    v: ModuleType,
    logits: Float[Any, "batch tokens"],
    places: Int[Any, "batch tokens 2"],
    of: Bool[Any, "batch tokens tiles"],
) -> Float[Any, "batch tokens"]:
    """Of tokens in order: those of the base tile, then the others."""
    xp = array_namespace(logits)
    larger = xp.where(xp.any(of[:, :, :1], axis=1), enlarged(v, logits, places, of[:, :, 0]), 0.0)
    return xp.where(of[:, :, 0], logits, unit_in_tiles(of, logits) + unit_in_tiles(of, larger))


def enlarged(
    v: ModuleType,
    logits: Float[Any, "batch tokens"],
    places: Int[Any, "batch tokens 2"],
    base: Bool[Any, "batch tokens"],
) -> Float[Any, "batch tokens"]:
    """At crops' tokens the base tile's logits, as torch's bilinear `interpolate` has them without aligned corners."""
    xp, tokens = array_namespace(logits), logits.shape[1]
    sizes, corners = [], []
    for axis in (0, 1):
        place = places[:, :, axis]
        small, large = (xp.max(xp.where(part, place, 0), axis=1, keepdims=True) + 1 for part in (base, ~base))
        middle = (xp.astype(place, logits.dtype) + 0.5) * (xp.astype(small, logits.dtype) / large) - 0.5
        middle = xp.where(middle > 0, middle, 0.0)
        below = xp.astype(xp.floor(middle), place.dtype)
        part = middle - xp.floor(middle)
        sizes.append(small)
        corners.append(((below, 1 - part), (xp.minimum(below + 1, small - 1), part)))
    made = xp.zeros_like(logits)
    for row, part in corners[0]:
        for column, other in corners[1]:
            number = row * sizes[1] + column
            made = made + part * other * at(v, logits, xp.where(number < tokens, number, 0))
    return made


def _cell(place: Int[Any, "batch tokens"], size: Int[Any, "batch 1"], cells: Int[Any, "batch 1"]) -> Any:
    """In which of the cells that the side is cut into; the last one has what is left over."""
    xp = array_namespace(place)
    cells = xp.where(cells > 1, cells, 1)
    width = size // cells
    return xp.minimum(place // xp.where(width > 1, width, 1), cells - 1)
