"""`vtc tune`: samples, a model, and what became of them."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer
from rich.console import Console

import vtc_llava
import vtc_tune
from vtc_core.methods import Method
from vtc_encode import Refused
from vtc_llava import Settings
from vtc_pictures import visible
from vtc_torch.configuration import read_config
from vtc_tune.folder import PAGE, REPORT, SKIPPED
from vtc_tune.job import Engine
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
    engine: str
    address: str | None
    workers: int
    overwrite: bool


def run(where: str | None, out: Path, options: Options) -> None:
    """Print a table and a recommendation; the rest is in OUT."""
    try:
        report = _report(where, out, options)
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


def _report(where: str | None, out: Path, options: Options) -> vtc_tune.Report:
    data = Scenes() if where is None else vtc_tune.open_data(where, options.questions)
    with progress.waiting(f"looking at {data.name}"):
        drawn = draw(data, options.samples, options.seed)
    place, source = models.pick_device(options.device), models.find(options.model)
    with models.refusing(source):
        config = read_config(source)
    try:
        settings = settings_of(config, options.methods, options.keeps, options.totals)
    except (ValueError, TypeError) as error:
        raise BadUsage(str(error)) from error
    load = partial(_loaded, source, settings[0], options.dtype, place)
    with models.loading(source):
        llava, processor = load()
        prompts.written(processor, config, source, ["what ?"])  # within limits, before it is done without
    if options.model is None:
        torch.set_num_threads(1)  # so small that threads wait for each other: on a busy machine 30 times as long
    with progress.without_chatter():
        return vtc_tune.tune(
            llava,
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
            engine=_engine(options, load, place),
            name=source,
            bar=progress.bar,
        )


def _loaded(source: str, first: Settings, dtype: str, place: torch.device) -> tuple[Any, Any]:
    """The stock pair; read as a patched one, which refuses what is not whole."""
    settings: Any = {"keep": first.keep, "total": first.total, "method": first.method}
    llava, processor = vtc_llava.load(source, **settings, dtype=dtype)
    llava.vtc.undo()
    return llava.to(place), processor


def _engine(options: Options, load: Callable[[], tuple[Any, Any]], place: torch.device) -> Engine | None:
    if options.engine == "local":
        return None
    from vtc_tune.ray_engine import on_ray

    threads = 1 if options.model is None else max(1, (os.cpu_count() or 1) // options.workers)
    gpus = int(place.type != "cpu")
    return partial(on_ray, load=load, workers=options.workers, threads=threads, gpus=gpus, address=options.address)
