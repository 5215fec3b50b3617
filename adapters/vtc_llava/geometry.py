"""What a stock model feeds its language model of a picture or a video, from sizes alone: integers, no model.

Processor and model read the same layouts, so that the count which the one promises is what the other makes.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from transformers.image_processing_utils import select_best_resolution

from vtc_torch.loading import tokens_of

from .layout_parts import Part, blend, exact, mark, numbered, places

NEWLINE, CLS, END = -1, -2, -3  # in `Layout.tile`, of what is in no tile's budget; END is the newline after a video
ALWAYS = (CLS, END)  # fed whatever the budget, and not counted in it


class Layout(NamedTuple):
    """What the stock model feeds of one picture or video, token by token and in its order: `length` tokens.

    A fed token is one token of the encoder, or a blend of several (pooled frames, shrunken pictures). Token i of a tile
    of `tokens` has the number `tile * (1 + tokens) + 1 + i`; the CLS of that tile has that of i = -1. It is a patch,
    or where pixels are shuffled (InternVL) a square of them that is scored and kept as one, see `vtc_core.shuffled`.
    """

    tiles: int  # tiles or frames that go through the encoder
    tile: Int[np.ndarray, "length"]  # the tile in whose budget a fed token is, the base first; or NEWLINE, CLS, END
    source: Int[np.ndarray, "length parts"]  # numbers of the tokens it is made of
    weight: Float[np.ndarray, "length parts"]  # and how much of each; 1 for one
    place: Int[np.ndarray, "length 2"]  # row and column on its grid: of the tile, the frame, or the joined tiles
    base: bool = False  # tile 0 shows the whole picture, the others show its parts
    grid: tuple[int, int] = (1, 1)  # rows and columns that those others stand in
    base_last: bool = False  # the base goes through the encoder, and is fed, after the others (InternVL's thumbnail)
    apart: bool = False  # text stands between the tiles: each has its own part of a total, the same for all


def one_tile(height: int = 0, width: int = 0, alone: bool = True, *, side: int) -> Layout:
    """A picture of any size as one tile of side x side patches (LLaVA-1.5)."""
    return frames(1, side=side)


@functools.lru_cache(64)
def frames(
    count: int, *, side: int, pooled: int | None = None, cls: bool = False, end: bool = False, apart: bool = False
) -> Layout:
    """A video of `count` frames, one after the other.

    Args:
        pooled: every frame is shrunk to pooled x pooled tokens, bilinearly; at half the side that is a mean of 2 x 2.
        cls: every frame begins with its CLS (Video-LLaVA).
        end: one newline token ends the video (LLaVA-OneVision).
        apart: text stands between the frames (InternVL).
    """
    parts = []
    for frame in numbered(count, side):
        if cls:
            parts.append(mark(CLS, int(frame[0, 0]) - 1))
        parts.append(blend(frame, pooled, pooled, side) if pooled else exact(frame, side))
    return _layout(count, [*parts, mark(END, 1)] if end else parts)._replace(apart=apart)


@functools.lru_cache(256)
def tiled(rows: int, columns: int, *, side: int) -> Layout:
    """A picture as a grid of tiles, one after the other, then a thumbnail; a single tile has none (InternVL)."""
    if rows * columns == 1:
        return frames(1, side=side)
    *tiles, base = (exact(numbers, side) for numbers in numbered(rows * columns + 1, side))
    parts = [
        tile._replace(tile=tile.tile + 1, place=tile.place + side * np.array(divmod(number, columns)))
        for number, tile in enumerate(tiles)
    ]
    parts.append(base._replace(tile=np.zeros_like(base.tile)))
    return _layout(len(parts), parts)._replace(base=True, grid=(rows, columns), base_last=True)


@functools.lru_cache(256)
def anyres(
    height: int,
    width: int,
    alone: bool = True,
    *,
    side: int,
    image_size: int,
    pinpoints: tuple[tuple[int, int], ...],
    max_tiles: int | None = None,
) -> Layout:
    """A picture as one base tile and a grid of tiles, padding cut off, a newline token after every row of the grid.

    As `pack_image_features` of LLaVA-NeXT and LLaVA-OneVision.

    Args:
        alone: False for one of several pictures of a prompt in LLaVA-OneVision: the base tile, and one newline token.
        image_size: pixels of a tile's side; `pinpoints` are the (height, width) in pixels to choose the grid from.
        max_tiles: a grid of more tokens than that many tiles have is shrunk to them (LLaVA-OneVision).
    """
    if not alone:
        return _layout(1, [exact(numbered(1, side)[0], side), mark(NEWLINE, 1)])
    best_height, best_width = select_best_resolution((height, width), [*pinpoints])
    down, across = best_height // image_size, best_width // image_size
    numbers = numbered(1 + down * across, side)
    grid = numbers[1:].reshape(down, across, side, side).swapaxes(1, 2).reshape(down * side, across * side)
    grid = grid[unpadded(height, width, *grid.shape)]
    ratio = math.sqrt(grid.size / (max_tiles * side**2)) if max_tiles else 1.0
    fed = blend(grid, int(grid.shape[0] // ratio), int(grid.shape[1] // ratio), side) if ratio > 1.1 else None
    fed = exact(grid, side) if fed is None else fed
    parts = [exact(numbers[0], side), _with_newlines(fed)]
    return _layout(len(numbers), parts)._replace(base=True, grid=(down, across))


def unpadded(height: int, width: int, rows: int, columns: int) -> tuple[slice, slice]:
    """The part of a rows x columns grid that shows a picture of this size, centred; as transformers' `unpad_image`."""
    if width / height > columns / rows:
        margin = (rows - int(round(height * (columns / width), 7))) // 2
        return slice(margin, rows - margin), slice(None)
    margin = (columns - int(round(width * (rows / height), 7))) // 2
    return slice(None), slice(margin, columns - margin)


def side_of(config: object) -> int:
    """Tokens on the side of a tile, of a whole model's configuration."""
    return math.isqrt(tokens_of(config))


def _with_newlines(part: Part) -> Part:
    """A newline token after every row."""
    tile = np.pad(part.tile, ((0, 0), (0, 1)), constant_values=NEWLINE)
    source, weight = (np.pad(x, ((0, 0), (0, 1), (0, 0)), constant_values=1) for x in (part.source, part.weight))
    return Part(tile, source, weight, places(*tile.shape))


def _layout(tiles: int, parts: Sequence[Part]) -> Layout:
    flat = [Part(x.tile.ravel(), *(y.reshape(-1, y.shape[-1]) for y in x[1:])) for x in parts]
    tile, place = (np.concatenate([getattr(x, name) for x in flat]) for name in ("tile", "place"))
    source, weight = widened(flat)
    for array in (tile, source, weight, place):
        array.flags.writeable = False  # layouts are cached
    return Layout(tiles, tile, source, weight, place)


def widened(
    parts: Sequence[Part] | Sequence[Layout],
) -> tuple[Int[np.ndarray, "length parts"], Float[np.ndarray, "length parts"]]:
    """All `source` and all `weight` one after the other, of as many parts each as the widest has: more of weight 0."""
    most = max(x.source.shape[1] for x in parts)
    missing = [((0, 0), (0, most - x.source.shape[1])) for x in parts]
    source = [np.pad(x.source, pad, mode="edge") for x, pad in zip(parts, missing, strict=True)]
    weight = [np.pad(x.weight, pad) for x, pad in zip(parts, missing, strict=True)]
    return np.concatenate(source), np.concatenate(weight)
