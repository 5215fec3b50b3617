"""Pictures of pruning: arrays in, matplotlib figures out. All lengths are inches, from the top left corner."""

import math
from collections.abc import Sequence
from textwrap import shorten
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vtc_core.methods import Method

Picture = UInt8[np.ndarray, "height width 3"]

INK, FAINT, RIGHT, WRONG, OUTLINE = "#1b1f24", "#6e7781", "#1a7f37", "#cf222e", "#ffffff"
COLORMAP = "inferno"
SHADE, DUSK = 0.25, 0.6  # how bright dropped and merged patches stay: enough to see what was given up


class Answered(NamedTuple):
    """One question, its true answer, and the answers with all tokens and with few."""

    question: str
    truth: str
    all_tokens: str
    few_tokens: str


class Kept(NamedTuple):
    """One picture as the encoder saw it, the patches that were kept of it, and the scores that chose them.

    `indices` and `weights` are those of a `vtc_core.methods.Choice`.
    """

    picture: Picture
    indices: Integer[np.ndarray, "keep"]
    scores: Float[np.ndarray, "tokens"]
    weights: Float[np.ndarray, "keep tokens"] | None = None

    @property
    def merged(self) -> Bool[np.ndarray, "tokens"]:
        """Patches that are in a mixture, but kept nowhere."""
        mixed = np.zeros(len(self.scores), bool) if self.weights is None else (self.weights != 0).any(0)
        mixed[self.indices[self.indices >= 0]] = False
        return mixed


def patch_map(values: Shaped[np.ndarray, "tokens"], height: int, width: int) -> Shaped[np.ndarray, "height width"]:
    """Raster order to pixels: every pixel has the value of the patch it lies in."""
    side = math.isqrt(len(values))
    rows = np.minimum(np.arange(height) // (height // side), side - 1)
    columns = np.minimum(np.arange(width) // (width // side), side - 1)
    return values.reshape(side, side)[rows[:, None], columns]


def kept_map(kept: Kept) -> Bool[np.ndarray, "height width"]:
    """Which pixels lie in patches that are kept."""
    chosen = np.zeros(len(kept.scores), bool)
    chosen[kept.indices[kept.indices >= 0]] = True  # -1 is no patch
    return patch_map(chosen, *kept.picture.shape[:2])


def darken_dropped(kept: Kept) -> Picture:
    """The picture with every patch that is not kept in the dark, and merged ones in the half-dark."""
    merged = patch_map(kept.merged, *kept.picture.shape[:2])
    bright = np.where(kept_map(kept), 1.0, np.where(merged, DUSK, SHADE))
    return (kept.picture * bright[..., None]).round().astype(np.uint8)


def kept_figure(kept: Kept, title: str, scores_label: str) -> Figure:
    """One picture: as the encoder saw it, its kept patches, and the scores that chose them."""
    panel, gap = 4.2, 0.2
    figure = Figure(figsize=(3 * panel + 3.2 * gap + 1.2, panel + 1.35), dpi=130)
    figure.text(*_at(figure, gap, 0.4), title, fontsize=15, fontweight="bold", color=INK)
    norm = _norm([kept])
    axes = [_axes(figure, gap + i * (panel + gap), 1.0, panel, panel) for i in range(3)]
    _panels(axes, kept, norm)
    height, width = kept.picture.shape[:2]
    _headings(axes, f"what the encoder sees, {width} x {height} pixels", kept)
    colors = _axes(figure, 3 * (panel + gap) + gap, 1.0, 0.16, panel)
    figure.colorbar(ScalarMappable(norm, COLORMAP), cax=colors, ticks=MaxNLocator(6)).set_label(scores_label, color=INK)
    return figure


def demo_figure(
    scenes: Sequence[tuple[Kept, Sequence[Answered]]], title: str, subtitle: str, scores_label: str
) -> Figure:
    """A row for each scene: picture, kept patches, scores, and the questions with both answers."""
    panel, gap, margin, head, foot, table = 2.6, 0.15, 0.3, 1.45, 0.8, 6.9
    pitch = panel + 0.2
    figure = Figure(figsize=(2 * margin + 3 * (panel + gap) + table, head + len(scenes) * pitch + foot), dpi=110)
    figure.text(*_at(figure, margin, 0.42), title, fontsize=18, fontweight="bold", color=INK)
    figure.text(*_at(figure, margin, 0.78), subtitle, fontsize=12.5, color=FAINT)
    norm = _norm([kept for kept, _ in scenes])
    for i, (kept, answers) in enumerate(scenes):
        top = head + i * pitch
        axes = [_axes(figure, margin + j * (panel + gap), top, panel, panel) for j in range(3)]
        _panels(axes, kept, norm)
        words = _axes(figure, margin + 3 * (panel + gap) + gap, top, table - gap, panel)
        _table(words, answers)
        if i == 0:
            _headings(axes, "the picture", kept)
            _table_headings(words, len(kept.scores), len(kept.indices))
    bottom = head + len(scenes) * pitch
    colors = _axes(figure, margin + 2 * (panel + gap), bottom, panel, 0.13)
    bar = figure.colorbar(ScalarMappable(norm, COLORMAP), cax=colors, orientation="horizontal", ticks=MaxNLocator(4))
    bar.set_label(scores_label, color=INK)
    return figure


def _at(figure: Figure, x: float, y: float) -> tuple[float, float]:
    width, height = figure.get_size_inches()
    return float(x / width), float(1 - y / height)


def _axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    left, bottom = _at(figure, x, y + height)
    right, top = _at(figure, x + width, y)
    return figure.add_axes((left, bottom, right - left, top - bottom))


def _panels(axes: Sequence[Axes], kept: Kept, norm: Normalize) -> None:
    """Picture, kept patches, heat map; a line around the kept patches, for dark things in the dark."""
    height, width = kept.picture.shape[:2]
    axes[0].imshow(kept.picture, interpolation="nearest")
    axes[1].imshow(darken_dropped(kept), interpolation="nearest")
    axes[2].imshow(patch_map(kept.scores, height, width), cmap=COLORMAP, norm=norm, interpolation="nearest")
    if len(kept.indices) < len(kept.scores):
        for panel in axes[1:]:
            panel.contour(kept_map(kept), levels=[0.5], colors=OUTLINE, linewidths=0.9, antialiased=True)
    for panel in axes:
        panel.set_axis_off()


def _headings(axes: Sequence[Axes], picture: str, kept: Kept) -> None:
    kept_of = f"{len(kept.indices)} of {len(kept.scores)} tokens"
    kept_of += f": {kept.merged.sum()} patches merged" if kept.merged.any() else " kept"
    for panel, heading in zip(axes, (picture, kept_of, "scores"), strict=True):
        panel.set_title(heading, loc="left", fontsize=12, color=INK)


def _norm(pictures: Sequence[Kept]) -> Normalize:
    """Square-root shading: attention is so uneven that a linear scale shows a few dots in the dark.

    Scores that can be negative are shown on a linear scale.
    """
    scores = np.concatenate([kept.scores[np.isfinite(kept.scores)] for kept in pictures])
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 0.0)
    return Normalize(low, high) if low < 0 else PowerNorm(0.5, vmin=0, vmax=high)


COLUMNS = (0.0, 0.44, 0.61, 0.82)  # question, truth, all tokens, few tokens


def _table_headings(axes: Axes, tokens: int, keep: int) -> None:
    for x, heading in zip(COLUMNS, ("question", "truth", f"all {tokens} tokens", f"{keep} tokens"), strict=True):
        axes.text(x, 1.027, heading, fontsize=12, color=INK, transform=axes.transAxes)


def _table(axes: Axes, answers: Sequence[Answered]) -> None:
    """Questions with their answers, green or red."""
    axes.set_axis_off()
    for line, answered in enumerate(answers):
        y = 1 - (line + 0.5) / len(answers)
        cells = [(answered.question, INK), (answered.truth, FAINT)]
        for answer in (answered.all_tokens, answered.few_tokens):
            text = shorten(marked(answer, answered.truth), 17, placeholder=" …")  # the width of its column
            cells.append((text, RIGHT if answer == answered.truth else WRONG))
        for x, (text, color) in zip(COLUMNS, cells, strict=True):
            axes.text(x, y, text, color=color, fontsize=11.5, va="center")


def marked(answer: str, truth: str) -> str:
    """Right or wrong, also for those who do not see red and green."""
    return f"{'✓' if answer == truth else '✗'} {answer}"


def scores_label(method: Method, layers: Sequence[int]) -> str:
    """What the heat map shows."""
    return method.looks_at + (f" (layers {', '.join(map(str, layers))})" if layers else "")
