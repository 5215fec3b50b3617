"""Tiles as the encoder saw them, put together as a picture or a video: arrays in, arrays out, pixel by pixel."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped, UInt8

from .geometry import Layout

Picture = UInt8[np.ndarray, "height width 3"]

SHADE, DUSK = 0.25, 0.6  # how bright dropped and merged patches stay: enough to see what was given up
GAP = 0.05  # between tiles that are no neighbours in the picture, in sides of a tile


class Kept(NamedTuple):
    """One tile as the encoder saw it, the patches that were kept of it, and the scores that chose them.

    `indices` and `weights` are those of a `vtc_core.methods.Choice`.
    """

    picture: Picture
    indices: Integer[np.ndarray, "keep"]
    scores: Float[np.ndarray, "tokens"]
    weights: Float[np.ndarray, "fed tokens"] | None = None

    @property
    def chosen(self) -> Bool[np.ndarray, "tokens"]:
        chosen = np.zeros(len(self.scores), bool)
        chosen[self.indices[self.indices >= 0]] = True  # -1 is no patch
        return chosen if self.weights is None else chosen & self.fed

    @property
    def fed(self) -> Bool[np.ndarray, "tokens"]:
        """Patches of which something is in a token that is fed."""
        return self.chosen if self.weights is None else (self.weights != 0).any(0)

    @property
    def merged(self) -> Bool[np.ndarray, "tokens"]:
        """Patches that are in a mixture, but kept nowhere."""
        return self.fed & ~self.chosen


class Canvas(NamedTuple):
    """A picture or video as it is drawn, pixel by pixel: one tile, or several in their places."""

    picture: UInt8[np.ndarray, "height width 3"]
    kept: Bool[np.ndarray, "height width"]
    merged: Bool[np.ndarray, "height width"]
    scores: Float[np.ndarray, "height width"]  # NaN where nothing competed
    there: Bool[np.ndarray, "height width"]  # not where tiles leave a gap

    def darkened(self) -> UInt8[np.ndarray, "height width 4"]:
        """Every patch that is not kept in the dark, merged ones in the half-dark; gaps are transparent."""
        bright = np.where(self.kept, 1.0, np.where(self.merged, DUSK, SHADE))
        return self._opaque((self.picture * bright[..., None]).round().astype(np.uint8))

    def whole(self) -> UInt8[np.ndarray, "height width 4"]:
        return self._opaque(self.picture)

    def _opaque(self, picture: Picture) -> UInt8[np.ndarray, "height width 4"]:
        return np.dstack([picture, np.where(self.there, 255, 0).astype(np.uint8)])


def patch_map(values: Shaped[np.ndarray, "tokens"], height: int, width: int) -> Shaped[np.ndarray, "height width"]:
    """Raster order to pixels: every pixel has the value of the patch it lies in."""
    side = math.isqrt(len(values))
    rows = np.minimum(np.arange(height) // (height // side), side - 1)
    columns = np.minimum(np.arange(width) // (width // side), side - 1)
    return values.reshape(side, side)[rows[:, None], columns]


def one_tile(tile: Kept) -> Canvas:
    size = tile.picture.shape[:2]
    kept, merged, scores = (patch_map(x, *size) for x in (tile.chosen, tile.merged, tile.scores.astype(np.float32)))
    return Canvas(tile.picture, kept, merged, scores, np.ones(size, bool))


def joined(tiles: Sequence[Kept], layout: Layout) -> Canvas:
    """All tiles of a picture, the base tile beside those that show its parts, without their padding; or all frames."""
    pieces = [one_tile(tile) for tile in tiles]
    gap = round(GAP * len(pieces[0].there))
    if not layout.base:
        return _grid(pieces, math.ceil(math.sqrt(len(pieces))), gap)
    fed = np.zeros(layout.tiles * (1 + len(tiles[0].scores)), bool)
    fed[layout.source[layout.weight > 0]] = True
    of_tiles = [patch_map(row[1:], *pieces[0].there.shape) for row in fed.reshape(layout.tiles, -1)]
    if layout.base_last:
        pieces, of_tiles = [pieces[-1], *pieces[:-1]], [of_tiles[-1], *of_tiles[:-1]]
    parts = _grid(
        [piece._replace(there=shown) for piece, shown in zip(pieces[1:], of_tiles[1:], strict=True)], layout.grid[1]
    )
    rows, columns = (np.flatnonzero(parts.there.any(axis)) for axis in (1, 0))
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return _row([pieces[0], Canvas(*(array[inside] for array in parts))], gap)


def _grid(pieces: Sequence[Canvas], columns: int, gap: int = 0) -> Canvas:
    rows = [_row(pieces[start : start + columns], gap) for start in range(0, len(pieces), columns)]
    return _turned(_row([_turned(row) for row in rows], gap))


def _row(pieces: Sequence[Canvas], gap: int) -> Canvas:
    """From left to right, as high as the highest."""
    height = max(len(piece.there) for piece in pieces)
    gaps = [gap] * (len(pieces) - 1) + [0]
    padded = [_padded(piece, height - len(piece.there), gap) for piece, gap in zip(pieces, gaps, strict=True)]
    return Canvas(*(np.concatenate(arrays, 1) for arrays in zip(*padded, strict=True)))


def _padded(piece: Canvas, bottom: int, right: int) -> Canvas:
    edges = ((0, bottom), (0, right))
    picture = np.pad(piece.picture, (*edges, (0, 0)))
    kept, merged, there = (np.pad(mask, edges) for mask in (piece.kept, piece.merged, piece.there))
    return Canvas(picture, kept, merged, np.pad(piece.scores, edges, constant_values=np.nan), there)


def _turned(piece: Canvas) -> Canvas:
    return Canvas(*(array.swapaxes(0, 1) for array in piece))
