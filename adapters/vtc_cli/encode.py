"""`vtc encode`: the pruned features of a corpus, in a folder of parquet shards."""

import os
import sys
import time
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import NamedTuple

import typer

from vtc_core.methods import Method
from vtc_encode import Recipe, Refused, Worker, corpus, local, open_source
from vtc_encode.corpus import Engine
from vtc_encode.shards import SKIPPED
from vtc_pictures import visible

from . import models, progress
from .errors import BadUsage

MOST_THREADS = 16  # that decode, where --threads is left out


class Options(NamedTuple):
    """Of the command, by the names that they have there."""

    column: str | None
    model: str | None
    keep: int | None
    method: Method
    batch: int
    shard_size: int
    dtype: str
    device: str
    engine: str
    address: str | None
    workers: int
    threads: int | None
    strict: bool
    fast_decode: bool
    packed: bool
    overwrite: bool


def run(where: str, out: Path, options: Options) -> None:
    """Write what is missing in OUT, and say what is there then."""
    try:
        _encode(where, out, options)
    except Refused as error:
        raise BadUsage(str(error)) from error


def _encode(where: str, out: Path, options: Options) -> None:
    with progress.waiting(f"listing {where}"):
        source = open_source(where, options.column)
    plan = models.plan(options.model, options.keep, options.method)
    threads = max(1, min(MOST_THREADS, os.cpu_count() or 1) // options.workers)
    recipe = Recipe(
        checkpoint=plan.source,
        keep=plan.keep,
        method=plan.method,
        dtype=options.dtype,
        device=_device(options),
        batch=options.batch,
        threads=options.threads or threads,
        strict=options.strict,
        fast_decode=options.fast_decode,
        packed=options.packed,
    )
    with models.loading(plan.source):
        worker = Worker(recipe)
    settings = worker.settings(source, options.shard_size)
    with corpus.prepare(out, settings, options.overwrite, options.strict) as left:
        if there := settings.shards - len(left.numbers):
            progress.note(f"{out}: {there} of {settings.shards} shards are there already")
        start = time.perf_counter()
        # Ray has remarks on workers that died, for stdout, which holds results only.
        with redirect_stdout(sys.stderr), progress.bar("encoding", left.pictures) as one:

            def step(count: int) -> None:
                for _ in range(count):
                    one(None)

            done = corpus.encode(worker, source, out, left, step, _engine(options))
        seconds = time.perf_counter() - start
    first = f"the first: {' '.join(done.skipped[0])}" if done.skipped else ""
    if not done.encoded:
        raise ValueError(f"none of {where}'s pictures could be encoded, {first} (all in {out / SKIPPED})")
    typer.echo(visible(f"{out}: {done.encoded} pictures in {done.shards} shards, {plan.counted}, {options.dtype}"))
    if done.skipped:
        listed = f"{out / SKIPPED}: {len(done.skipped)} pictures that could not be encoded, {first}"
        typer.echo(visible(listed))
    if source.others:
        typer.echo(visible(f"{where}: {source.others} other files, which are no pictures"))
    if left.pictures:
        share = done.seconds / (seconds * options.workers)
        progress.note(f"{left.pictures / seconds:.1f} pictures per second, {share:.0%} of the time in the encoder")


def _device(options: Options) -> str:
    """A cluster's GPUs are not this process's: what was asked for is believed."""
    if options.engine == "ray" and options.device != "auto":
        return options.device
    return models.pick_device(options.device).type


def _engine(options: Options) -> Engine:
    if options.engine == "local":
        return local
    from vtc_encode.ray_engine import on_ray

    return partial(on_ray, workers=options.workers, address=options.address)
