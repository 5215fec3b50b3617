"""What `tune` found out: figures of every setting, a recommendation or why there is none, and the lines to use it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
from matplotlib.figure import Figure
from rich.table import Table

from vtc_core.methods import saved, spelled
from vtc_llava import Settings

from . import pasting, plotting, tables
from .first_token import FirstToken
from .recommending import Verdict
from .samples import Skip
from .summary import Estimate, Figures


class Result(NamedTuple):
    """One setting."""

    setting: Settings
    figures: Figures
    sure: float  # agreement that it has at least, see `recommending.verdict`
    first_token: FirstToken

    @property
    def method(self) -> str:
        return spelled(self.setting.method)

    @property
    def budget(self) -> str:
        return str(self.setting.budget)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `vtc_llava.patch`."""
        numbers = {"keep": self.setting.keep, "total": self.setting.total}
        return {name: value for name, value in numbers.items() if value is not None} | {"method": self.method}


@dataclass(frozen=True)
class Report:
    """
    Attributes:
        model: as it was named.
        family: its `config.model_type`.
        data: as it was named.
        target: agreement that was asked for.
        samples: how many were used.
        skipped: rows that could not be, with reasons.
        unpruned: figures of the model with all visual tokens.
        results: of every setting, methods in the order given, most tokens first.
        verdict: which of them is recommended, or why none is.
        walks: times that the vision tower was walked, and times that it would have been, each setting by itself.
        rows: a row for every sample and setting, see `block.Row`.
    """

    model: str
    family: str
    data: str
    target: float
    samples: int
    skipped: tuple[Skip, ...]
    unpruned: Figures
    results: tuple[Result, ...]
    verdict: Verdict
    walks: tuple[int, int]
    rows: pa.Table

    @property
    def recommended(self) -> Result | None:
        """The cheapest setting that surely meets the target."""
        return None if self.verdict.recommended is None else self.results[self.verdict.recommended]

    @property
    def best(self) -> Result:
        """The recommended setting; where there is none, that which comes nearest to the target."""
        return self.results[self.verdict.best]

    @property
    def conclusion(self) -> str:
        """One sentence."""
        if self.recommended is None:
            return f"No recommendation: {self.verdict.reason}"
        best = self.recommended
        return (
            f"Recommended: {best.method} with {best.budget}, {best.figures.visual:g} of {self.unpruned.visual:g} "
            f"visual tokens; {best.figures.agreement.mean:.1%} of answers stay the same, {best.sure:.1%} at least"
        )

    def lines(self) -> dict[str, str]:
        """How the recommended setting is used, to paste; nothing where there is none."""
        return {} if self.recommended is None else pasting.lines(self.model, self.family, self.recommended.options)

    def table(self) -> Table:
        """For a terminal or a notebook."""
        return tables.table(self)

    def plot(self) -> Figure:
        """Agreement and loyalty against tokens, a line a method."""
        return plotting.plot(self)

    def saved(self) -> dict[str, Any]:
        """For report.json."""
        return {
            "model": self.model,
            "data": self.data,
            "samples": self.samples,
            "skipped": len(self.skipped),
            "target": self.target,
            "conclusion": self.conclusion,
            "recommended": self.recommended and self.recommended.options,
            "more_samples": self.verdict.more,
            "lines": self.lines(),
            "unpruned": _figures(self.unpruned),
            "settings": [_result(result) for result in self.results],
            "tower_walks": dict(zip(("made", "by_themselves"), self.walks, strict=True)),
        }


def _result(result: Result) -> dict[str, Any]:
    named = {"keep": result.setting.keep, "total": result.setting.total, "method": saved(result.setting.method)}
    time = result.first_token._asdict()
    return named | _figures(result.figures) | {"agreement_at_least": result.sure, "time_to_first_token": time}


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        name: value._asdict() if isinstance(value, Estimate) else value for name, value in figures._asdict().items()
    }
