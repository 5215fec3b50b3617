"""A report as one page of HTML that needs nothing beside it: pictures are in it, no script, no address elsewhere."""

import base64
import io
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from vtc_pictures import visible

from . import tables
from .report import Report
from .samples import Sample
from .worst import worst

SKIPPED = 50  # bad rows that are listed


def page(report: Report, model: Any, processor: Any, samples: Sequence[Sample]) -> str:
    """All that comes from data is escaped, and unseen letters are shown as what they are."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True)
    template = environment.from_string(files("vtc_tune").joinpath("page.html").read_text("utf-8"))
    accuracy = report.unpruned.accuracy is not None
    return template.render(
        report=report,
        plot="data:image/png;base64," + base64.b64encode(png(report.plot())).decode(),
        headings=tables.headings(accuracy),
        everything=tables.of_unpruned(report),
        rows=[(result, tables.of_result(report, result)) for result in report.results],
        worst=worst(report, model, processor, samples),
        skipped=report.skipped[:SKIPPED],
    )


def png(figure: Figure) -> bytes:
    figure.savefig(file := io.BytesIO(), format="png")
    return file.getvalue()


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and type(value) is str else value
