"""A whole corpus: what OUT holds already, what is left to do, and that one process at a time does it."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from vtc_core.methods import method_of, spelled
from vtc_pictures import Unreadable

from . import shards
from .local import local
from .refused import Refused
from .shards import Outcome, Settings, Skip
from .sources import Source
from .worker import Worker

# What may differ between a run and the run that resumes it.
INCIDENTAL = ("checkpoint", "vtc")

Engine = Callable[..., Iterator[Outcome]]  # see `local`


class Done(NamedTuple):
    shards: int
    encoded: int  # pictures
    skipped: list[Skip]
    seconds: float  # in encoders, in this run


class Plan(NamedTuple):
    settings: Settings
    numbers: list[int]  # shards that are not there yet

    @property
    def pictures(self) -> int:
        """Pictures left to do."""
        return sum(stop - start for start, stop in map(self.settings.span, self.numbers))


@contextmanager
def prepare(out: Path, settings: Settings, overwrite: bool = False, strict: bool = False) -> Iterator[Plan]:
    """Hold OUT for this process, and find out what is left to do there. Remains of killed runs are removed.

    Raises:
        Refused: OUT is no folder, is held by another process, or holds shards of another INPUT or of other settings.
        Unreadable: strict, and a shard that is there has skipped a picture.
    """
    if os.path.lexists(out) and not os.path.isdir(out):
        raise Refused(f"{out} is a file: a folder is needed")
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(out / ".lock").acquire(blocking=False)
    except Timeout:
        raise Refused(f"{out} is being written by another vtc encode") from None
    with lock:
        for file in out.glob(shards.TEMPORARY):
            file.unlink(missing_ok=True)
        if overwrite:
            for file in [out / shards.SKIPPED, *out.glob(shards.PATTERN)]:
                file.unlink(missing_ok=True)
        yield Plan(settings, _missing(out, settings, strict))


def encode(
    worker: Worker, source: Source, out: Path, plan: Plan, step: Callable[[int], None], engine: Engine = local
) -> Done:
    """Do what is left, and list what was skipped. What a shard holds does not depend on the engine."""
    seconds = sum(outcome.seconds for outcome in engine(worker, source, out, plan.settings, plan.numbers, step))
    records = [shards.read_record(shards.path_of(out, number)) for number in range(plan.settings.shards)]
    skipped = [skip for _, of_shard, _ in records for skip in of_shard]
    shards.write_skipped(out, skipped)
    return Done(len(records), sum(rows for *_, rows in records), skipped, seconds)


def _missing(out: Path, settings: Settings, strict: bool) -> list[int]:
    wanted = json.loads(json.dumps(asdict(settings)))
    missing = set(range(settings.shards))
    for path in sorted(out.glob(shards.PATTERN)):
        found, skipped, _ = shards.read_record(path)
        for name, value in wanted.items():
            if name not in INCIDENTAL and found.get(name) != value:
                raise Refused(_refusal(out, name, found.get(name), value))
        if strict and skipped:
            raise Unreadable(f"{skipped[0][0]} {skipped[0][1]}")
        number = shards.number_of(path)
        if number not in missing:
            raise Refused(f"{path} is none of the {settings.shards} shards of this INPUT: remove it")
        shards.check_pages(path)
        missing.discard(number)
    return sorted(missing)


def _refusal(out: Path, name: str, found: object, wanted: object) -> str:
    what = {
        "input": "another INPUT, or its pictures have changed",
        "weights": "a checkpoint with other weights",
    }.get(name, f"{name} {_short(found)}, not {_short(wanted)}")
    return f"{out} holds features of {what}: --overwrite starts anew"


def _short(value: object) -> str:
    return spelled(method_of(value)) if isinstance(value, dict) else str(value)
