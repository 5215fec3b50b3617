"""The picture of `vtc demo`: what each method keeps of a scene, and the answers. All lengths are inches."""

from collections.abc import Sequence
from textwrap import shorten
from typing import NamedTuple

from matplotlib.axes import Axes

from vtc_llava.canvas import Kept, one_tile
from vtc_llava.drawing import INK, Drawing, at, draw_kept, panel

FAINT, RIGHT, WRONG = "#6e7781", "#1a7f37", "#cf222e"
QUESTION, COLUMN = 3.0, 1.45  # widths in the table


class Answered(NamedTuple):
    """One question, its true answer, and the answers with all tokens and with few, by each method."""

    question: str
    truth: str
    all_tokens: str
    few_tokens: tuple[str, ...]


class Row(NamedTuple):
    """One scene: what each method kept of it, and the questions with their answers."""

    kept: Sequence[Kept]
    answers: Sequence[Answered]


def demo_figure(rows: Sequence[Row], title: str, subtitle: str, methods: Sequence[str]) -> Drawing:
    """A row for each scene: the picture, the patches that each method keeps, and the questions with all answers."""
    side, gap, margin, head = 2.6, 0.15, 0.3, 1.45
    pitch, pictures = side + 0.2, 1 + len(methods)
    table = QUESTION + (2 + len(methods)) * COLUMN
    figure = Drawing(figsize=(2 * margin + pictures * (side + gap) + table, head + len(rows) * pitch + 0.1), dpi=110)
    figure.text(*at(figure, margin, 0.42), title, fontsize=18, fontweight="bold", color=INK)
    figure.text(*at(figure, margin, 0.78), subtitle, fontsize=12.5, color=FAINT)
    for i, row in enumerate(rows):
        top = head + i * pitch
        axes = [panel(figure, margin + j * (side + gap), top, side, side) for j in range(pictures)]
        axes[0].imshow(row.kept[0].picture, interpolation="nearest")
        for axis, kept in zip(axes[1:], row.kept, strict=True):
            draw_kept(axis, one_tile(kept))
        words = panel(figure, margin + pictures * (side + gap) + gap, top, table - gap, side)
        _table(words, row.answers)
        if i == 0:
            tokens, keep = len(row.kept[0].scores), len(row.kept[0].indices)
            _headings(words, ["question", "truth", f"all {tokens} tokens", *(f"{keep} by {name}" for name in methods)])
            for axis, heading in zip(axes, ("the picture", *methods), strict=True):
                axis.set_title(heading, loc="left", fontsize=12, color=INK)
        for axis in axes:
            axis.set_axis_off()
    return figure


def _headings(axes: Axes, headings: Sequence[str]) -> None:
    for x, heading in zip(_columns(len(headings)), headings, strict=True):
        axes.text(x, 1.027, heading, fontsize=12, color=INK, transform=axes.transAxes)


def _columns(count: int) -> list[float]:
    """Where each begins, as a part of the table's width."""
    starts = [0.0, *(QUESTION + i * COLUMN for i in range(count - 1))]
    return [start / (QUESTION + (count - 1) * COLUMN) for start in starts]


def _table(axes: Axes, answers: Sequence[Answered]) -> None:
    """Questions with their answers, green or red."""
    axes.set_axis_off()
    for line, answered in enumerate(answers):
        y = 1 - (line + 0.5) / len(answers)
        cells = [(answered.question, INK), (answered.truth, FAINT)]
        for answer in (answered.all_tokens, *answered.few_tokens):
            text = shorten(marked(answer, answered.truth), 17, placeholder=" …")  # the width of its column
            cells.append((text, RIGHT if answer == answered.truth else WRONG))
        for x, (text, color) in zip(_columns(len(cells)), cells, strict=True):
            axes.text(x, y, text, color=color, fontsize=11.5, va="center")


def marked(answer: str, truth: str) -> str:
    """Right or wrong, also for those who do not see red and green."""
    return f"{'✓' if answer == truth else '✗'} {answer}"
