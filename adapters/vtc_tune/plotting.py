"""A report as a figure: agreement and loyalty against tokens, a line a method."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vtc_llava.drawing import Drawing

from .summary import Estimate, Figures

if TYPE_CHECKING:
    from .report import Report

# Okabe and Ito's, for all eyes, in an order of their own; after them the markers tell.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
MARKERS = "osD^vPX*<>"
INK, FAINT = "#1b1f24", "#6e7781"


FOCUS = 8  # of the shortfall that the target allows, so many times is shown: what is worse matters less


def plot(report: "Report") -> Figure:
    """Intervals are bands; the target is a line, the recommended setting a ring. Tokens are on a logarithmic scale.

    Settings that miss the target by far run out at the bottom.
    """
    figure = Drawing(figsize=(11, 4.9), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    _lines(left, report, "agreement", 100.0)
    _lines(right, report, "loyalty", 1.0)
    left.axhline(100 * report.target, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    at = left.get_xlim()[0], 100 * report.target
    left.annotate(f" target {at[1]:g} %", at, (0, 3), textcoords="offset points", color=INK, fontsize=9)
    right.axhline(report.unpruned.loyalty.mean, color=FAINT, linewidth=1)
    least = max(0.0, 1 - FOCUS * (1 - report.target))
    shown = [result.figures for result in report.results if result.figures.agreement.low >= least]
    if shown:
        left.set_ylim(100 * least, 100 + 4 * (1 - least))
        lowest = min(-0.001, *(figures.loyalty.low for figures in shown))
        right.set_ylim(1.05 * lowest, -0.04 * lowest)
    left.set_ylabel("answers that stay the same, %")
    right.set_ylabel("loyalty: log-probability a token, nats")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    figure.suptitle(f"{report.samples} samples, {report.unpruned.visual:g} visual tokens without pruning", color=INK)
    return figure


def _lines(axes: Axes, report: "Report", name: str, scale: float) -> None:
    def ends(figures: Figures) -> Estimate:
        return Estimate(*(scale * value for value in getattr(figures, name)))

    everything = report.unpruned.visual, ends(report.unpruned)
    for number, method in enumerate(dict.fromkeys(result.method for result in report.results)):
        mine = [result.figures for result in report.results if result.method == method]
        points = sorted([everything, *((figures.visual, ends(figures)) for figures in mine)])
        tokens, estimates = [x for x, _ in points], [y for _, y in points]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.fill_between(
            tokens, [y.low for y in estimates], [y.high for y in estimates], color=colour, alpha=0.12, linewidth=0
        )
        axes.plot(tokens, [y.mean for y in estimates], color=colour, marker=marker, label=method, markersize=5)
    if (best := report.recommended) is not None:
        spot = best.figures.visual, ends(best.figures).mean
        axes.plot(*spot, "o", markersize=15, markerfacecolor="none", markeredgecolor=INK, label="recommended")
    counts = sorted({result.figures.visual for result in report.results} | {report.unpruned.visual})
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:.0f}" for count in counts])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("visual tokens of a picture")
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
