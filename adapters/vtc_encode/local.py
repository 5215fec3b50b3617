"""The engine that is this process."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import shards
from .shards import Outcome, Settings
from .sources import Source
from .worker import Worker


def local(
    worker: Worker, source: Source, out: Path, settings: Settings, numbers: Sequence[int], step: Callable[[int], None]
) -> Iterator[Outcome]:
    """Write these shards, one after the other; `step` is told how many more pictures are done."""
    for outcome, rows in worker.encode(source, settings, numbers, step):
        shards.write(out, outcome.number, settings, rows)
        yield outcome
