"""Pictures of pruning: arrays in, matplotlib figures out. All lengths are inches, from the top left corner."""

import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vtc_core.methods import Method

from .geometry import Layout

Picture = UInt8[np.ndarray, "height width 3"]

INK, OUTLINE = "#1b1f24", "#ffffff"
COLORMAP = "inferno"
SHADE, DUSK = 0.25, 0.6  # how bright dropped and merged patches stay: enough to see what was given up
GAP = 0.05  # between tiles that are no neighbours in the picture, in sides of a tile


class Drawing(Figure):
    """A figure that notebooks show as it is; pyplot does not know it, so none is left open."""

    def _repr_png_(self) -> bytes:
        self.savefig(file := io.BytesIO(), format="png")
        return file.getvalue()


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


def kept_figure(canvas: Canvas, title: str, scores_label: str, fed: int, tokens: int) -> Drawing:
    """One picture or video: as the encoder saw it, its kept patches, and the scores that chose them.

    Args:
        fed, tokens: how many tokens the language model is fed of it, and without pruning.
    """
    height, width = canvas.there.shape
    across = width < 1.7 * height  # panels beside each other; else one below the other
    gap, head = 0.2, 1.0
    high, wide = 4.2 * math.sqrt(height / width), 4.2 * math.sqrt(width / height)
    right, down = (wide + gap, 0.0) if across else (0.0, high + 2 * gap)
    size = (
        max(9.0, gap + wide + 2 * right + (1.64 if across else gap)),
        head + high + 2 * down + (0.35 if across else 0.85),
    )
    figure = Drawing(figsize=size, dpi=130)
    figure.text(*at(figure, gap, 0.4), title, fontsize=15 if across else 11, fontweight="bold", color=INK)
    axes = [panel(figure, gap + i * right, head + i * down, wide, high) for i in range(3)]
    norm = norm_of([canvas])
    axes[0].imshow(canvas.whole(), interpolation="nearest")
    draw_kept(axes[1], canvas)
    axes[2].imshow(canvas.scores, cmap=COLORMAP, norm=norm, interpolation="nearest")
    outline(axes[2], canvas)
    scored = bool(np.isfinite(canvas.scores).any())
    headings = (f"what the encoder sees, {width} x {height} pixels", counted(canvas, fed, tokens))
    for axis, heading in zip(axes, (*headings, "scores" if scored else "no scores: everything is fed"), strict=True):
        axis.set_axis_off()
        axis.set_title(heading, loc="left", fontsize=12, color=INK)
    if scored:
        beside = (gap + 2 * right + wide + gap, head, 0.16, high)
        below = (gap, head + 2 * down + high + 0.12, wide, 0.13)
        colors = panel(figure, *(beside if across else below))
        orientation = "vertical" if across else "horizontal"
        bar = ScalarMappable(norm, COLORMAP)
        figure.colorbar(bar, cax=colors, orientation=orientation, ticks=MaxNLocator(6)).set_label(
            scores_label, color=INK
        )
    return figure


def counted(canvas: Canvas, fed: int, tokens: int) -> str:
    """A heading for the kept patches."""
    return f"{fed} of {tokens} tokens" + (", others merged into them" if canvas.merged.any() else " kept")


def draw_kept(axes: Axes, canvas: Canvas) -> None:
    axes.imshow(canvas.darkened(), interpolation="nearest")
    outline(axes, canvas)


def outline(axes: Axes, canvas: Canvas) -> None:
    """A line around the kept patches, for dark things in the dark."""
    if not canvas.kept[canvas.there].all():
        axes.contour(canvas.kept, levels=[0.5], colors=OUTLINE, linewidths=0.9, antialiased=True)


def norm_of(pictures: Sequence[Canvas]) -> Normalize:
    """Square-root shading: attention is so uneven that a linear scale shows a few dots in the dark.

    Scores that can be negative are shown on a linear scale.
    """
    scores = np.concatenate([picture.scores[np.isfinite(picture.scores)] for picture in pictures])
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 0.0)
    return Normalize(low, high) if low < 0 else PowerNorm(0.5, vmin=0, vmax=high)


def at(figure: Figure, x: float, y: float) -> tuple[float, float]:
    """Inches from the top left as a figure's own coordinates."""
    width, height = figure.get_size_inches()
    return float(x / width), float(1 - y / height)


def panel(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    left, bottom = at(figure, x, y + height)
    right, top = at(figure, x + width, y)
    return figure.add_axes((left, bottom, right - left, top - bottom))


def scores_label(method: Method, layers: Sequence[int]) -> str:
    """What the heat map shows."""
    return method.looks_at + (f" (layers {', '.join(map(str, layers))})" if layers else "")
