"""Sums over the tiles of a competition. Their number is not known before what is seen: it is bounded."""

from typing import Any

from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from .parts import one_hot

TILES = 64


def tiles(tile: Int[Any, "batch tokens"]) -> Bool[Any, "batch tokens tiles"]:
    """Which tile a token is of; the last one stands for all after it, too."""
    xp = array_namespace(tile)
    return one_hot(xp.where(tile < TILES, tile, TILES - 1), TILES)


def total(of: Bool[Any, "batch tokens tiles"], x: Float[Any, "batch tokens"]) -> Float[Any, "batch tiles"]:
    xp = array_namespace(x)
    return xp.sum(xp.where(of, x[:, :, None], 0.0), axis=1)


def to_tokens(of: Bool[Any, "batch tokens tiles"], x: Any) -> Any:
    """From tiles to their tokens."""
    xp = array_namespace(x)
    return xp.sum(xp.where(of, x[:, None, :], 0), axis=2)


def unit_in_tiles(of: Bool[Any, "batch tokens tiles"], x: Float[Any, "batch tokens"]) -> Float[Any, "batch tokens"]:
    """At length 1 in every tile."""
    xp = array_namespace(x)
    length = to_tokens(of, xp.sqrt(total(of, x * x)))
    return x / xp.where(length > 0, length, 1.0)
