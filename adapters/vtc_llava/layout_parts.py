"""Parts of a layout, as arrays of a grid's shape: tokens as they are, marks, and blends of four."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Part(NamedTuple):
    """Fields of a `Layout`, of as many axes as the grid has; of `parts` and 2 one more."""

    tile: Int[np.ndarray, "*shape"]
    source: Int[np.ndarray, "*shape parts"]
    weight: Float[np.ndarray, "*shape parts"]
    place: Int[np.ndarray, "*shape 2"]


def numbered(tiles: int, side: int) -> Int[np.ndarray, "tiles side side"]:
    """The numbers of all patches; a tile's CLS comes before its patches and is left out."""
    return (np.arange(tiles * (1 + side**2)).reshape(tiles, -1)[:, 1:]).reshape(tiles, side, side)


def exact(numbers: Int[np.ndarray, "rows columns"], side: int) -> Part:
    return Part(numbers // (1 + side**2), numbers[..., None], np.ones((*numbers.shape, 1)), places(*numbers.shape))


def mark(mark: int, number: int) -> Part:
    return Part(np.array([mark]), np.array([[number]]), np.ones((1, 1)), np.zeros((1, 2), int))


def places(rows: int, columns: int) -> Int[np.ndarray, "rows columns 2"]:
    return np.moveaxis(np.indices((rows, columns)), 0, -1)


def blend(numbers: Int[np.ndarray, "rows columns"], height: int, width: int, side: int) -> Part:
    """`torch.nn.functional.interpolate(mode="bilinear")`: every new token is a blend of four.

    top left ----------- top right        each weighs (1 - its distance down) * (1 - its distance across),
        |    blend           |            in steps of the old grid; the blend is in the budget of the tile
    bottom left ------ bottom right       of the nearest of the four
    """
    rows, columns = axis(numbers.shape[0], height), axis(numbers.shape[1], width)
    corners, weights = [], []
    for row, down in ((rows.before, 1 - rows.past), (rows.after, rows.past)):
        for column, across in ((columns.before, 1 - columns.past), (columns.after, columns.past)):
            corners.append(numbers[np.ix_(row, column)])
            weights.append(np.outer(down, across))
    nearest = numbers[np.ix_(rows.nearest, columns.nearest)]
    return Part(nearest // (1 + side**2), np.stack(corners, -1), np.stack(weights, -1), places(height, width))


class Axis(NamedTuple):
    """Of every new position on an axis the two old ones that it lies between, and how far past the first it is."""

    before: Int[np.ndarray, "new"]
    after: Int[np.ndarray, "new"]
    past: Float[np.ndarray, "new"]  # in [0, 1)

    @property
    def nearest(self) -> Int[np.ndarray, "new"]:
        return np.where(self.past < 0.5, self.before, self.after)


def axis(old: int, new: int) -> Axis:
    """`new` positions on an axis of `old`, whose cells have the same ends; a centre is half a cell from its start.

    old 3   |    0    |    1    |    2    |
    new 5   |  0  |  1  |  2  |  3  |  4  |      of 1: centre 0.4, before 0, after 1, past 0.4
    """
    centre = np.maximum((np.arange(new) + 0.5) * (old / new) - 0.5, 0.0)
    before = centre.astype(int)
    return Axis(before, np.minimum(before + 1, old - 1), centre - before)
