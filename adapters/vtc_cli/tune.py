"""`vtc tune`: samples, a model, and what became of them."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer
from rich.console import Console

import vtc_llava
import vtc_tune
from vtc_core.methods import Method
from vtc_encode import Refused
from vtc_pictures import visible
from vtc_torch.configuration import read_config
from vtc_tune.folder import PAGE, REPORT, SKIPPED
from vtc_tune.samples import draw
from vtc_tune.scenes import Scenes
from vtc_tune.settings import settings_of

from . import models, progress, prompts
from .errors import BadUsage

WIDTH = 120  # of the table where it goes into a file or a pipe


class Options(NamedTuple):
    """Of the command, by the names that they have there."""

    model: str | None
    questions: tuple[str, ...]
    methods: list[Method] | None
    keeps: list[int] | None
    totals: list[int] | None
    target: float
    samples: int
    seed: int
    max_new_tokens: int
    batch_size: int
    device: str
    dtype: str
    overwrite: bool


def tune(words: str | None, out: Path, options: Options) -> None:
    """Print a table and a recommendation; the rest is in OUT."""
    try:
        report = _report(words, out, options)
    except Refused as error:
        raise BadUsage(str(error)) from error
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(report.table())
    typer.echo(visible(report.conclusion))
    for place, line in report.lines().items():
        typer.echo(f"{place}: {visible(line)}")
    if report.skipped:
        first = " ".join(report.skipped[0])
        typer.echo(visible(f"{out / SKIPPED}: {len(report.skipped)} bad rows, the first: {first}"))
    typer.echo(visible(f"{out / PAGE}: to look at; {out / REPORT}: for machines"))


def _report(words: str | None, out: Path, options: Options) -> vtc_tune.Report:
    data = Scenes() if words is None else vtc_tune.open_data(words, options.questions)
    with progress.waiting(f"looking at {data.name}"):
        drawn = draw(data, options.samples, options.seed)
    place, source = models.pick_device(options.device), models.find(options.model)
    with models.refusing(source):
        config = read_config(source)
    try:
        settings = settings_of(config, options.methods, options.keeps, options.totals)
    except (ValueError, TypeError) as error:
        raise BadUsage(str(error)) from error
    with models.loading(source):
        first: Any = {"keep": settings[0].keep, "total": settings[0].total, "method": settings[0].method}
        llava, processor = vtc_llava.load(source, **first, dtype=options.dtype)  # which refuses what is not whole
        llava.vtc.undo()
    if options.model is None:
        torch.set_num_threads(1)  # so small that threads wait for each other: on a busy machine 30 times as long
        prompts.written(processor, config, source, ["what ?"])  # within limits, before it is done without
    with progress.without_chatter():
        return vtc_tune.tune(
            llava.to(place),
            processor,
            drawn,
            options.methods,
            options.keeps,
            options.target,
            totals=options.totals,
            max_new_tokens=options.max_new_tokens,
            batch_size=options.batch_size,
            out=out,
            overwrite=options.overwrite,
            name=source,
            bar=progress.bar,
        )
