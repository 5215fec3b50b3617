"""A report as a table for the terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.table import Column, Table

from .summary import Estimate, Figures

if TYPE_CHECKING:
    from .report import Report, Result


def table(report: "Report") -> Table:
    """A row a setting, the recommended one in bold; percentages with their 95 % intervals."""
    accuracy = report.unpruned.accuracy is not None
    table = Table(
        Column("method", no_wrap=True),
        *(Column(name, justify="right") for name in headings(accuracy)),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_row("all tokens", *of_unpruned(report), end_section=True)
    for number, result in enumerate(report.results):
        last = number + 1 == len(report.results)
        style = "bold green" if result is report.recommended else None
        at_end = last or report.results[number + 1].method != result.method
        table.add_row(result.method, *of_result(report, result), style=style, end_section=at_end)
    return table


def headings(accuracy: bool) -> list[str]:
    right = ["right %"] if accuracy else []
    return ["tokens", "agreement %", "at least", *right, "loyalty", "KL", "time", "floor"]


def of_unpruned(report: "Report") -> list[str]:
    """Cells under the headings."""
    return _cells(report.unpruned, "", "1", "1")


def of_result(report: "Report", result: "Result") -> list[str]:
    """Cells under the headings."""
    first = result.first_token
    return _cells(result.figures, f"{100 * result.sure:.1f}", f"{first.measured:.2f}", f"{first.floor:.2f}")


def _cells(figures: Figures, sure: str, measured: str, floor: str) -> list[str]:
    right = [] if figures.accuracy is None else [f"{100 * figures.accuracy.mean:.1f}"]
    loyalty, divergence = f"{figures.loyalty.mean:.3f}", f"{figures.divergence.mean:.3f}"
    return [f"{figures.visual:g}", percent(figures.agreement), sure, *right, loyalty, divergence, measured, floor]


def percent(estimate: Estimate) -> str:
    mean, low, high = (f"{100 * value:.1f}" for value in estimate)
    return f"{mean} ({low}-{high})"
