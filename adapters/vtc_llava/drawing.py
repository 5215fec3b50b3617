"""Pictures of pruning: arrays in, matplotlib figures out. All lengths are inches, from the top left corner."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vtc_core.methods import Method

from .canvas import Canvas

INK, OUTLINE = "#1b1f24", "#ffffff"
COLORMAP = "inferno"


class Drawing(Figure):
    """A figure that notebooks show as it is; pyplot does not know it, so none is left open."""

    def _repr_png_(self) -> bytes:
        self.savefig(file := io.BytesIO(), format="png")
        return file.getvalue()


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
