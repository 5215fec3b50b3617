"""Interleaved timing: every figure is a ratio of runs that shared their minutes of the machine."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import Progress

Run = Callable[[], Any]
Clock = Callable[[Run], float]


class Spread(NamedTuple):
    """Median and range of several rounds."""

    median: float
    low: float
    high: float


def wall(run: Run) -> float:
    """Seconds that `run` takes. It must block until its work is done (JAX: `block_until_ready`)."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def processor(run: Run) -> float:
    """Processor seconds, of all threads. Of one thread they hardly depend on what else the machine does."""
    start = time.process_time()
    run()
    return time.process_time() - start


def interleaved(
    runs: Mapping[str, Run], rounds: int = 5, clock: Clock = wall, title: str = "timing"
) -> dict[str, list[float]]:
    """Seconds of every run in every round, A B C A B C, so that a slow minute hits all; each is called once before.

    The bar goes to stderr.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=len(runs) * (rounds + 1))
        for turn in range(rounds + 1):
            for name, run in runs.items():
                took = clock(run)
                if turn:  # turn 0 warms up
                    seconds[name].append(took)
                progress.advance(task)
    return seconds


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def ratio(seconds: Mapping[str, Sequence[float]], name: str, to: str) -> Spread:
    """`name` / `to`, round by round: the median is that of the rounds' ratios, not the ratio of medians."""
    return spread([a / b for a, b in zip(seconds[name], seconds[to], strict=True)])


def table(seconds: Mapping[str, Sequence[float]], first: str, floors: Mapping[str, float]) -> str:
    """A markdown table of all runs: times, what `first` takes of each, and that against the floor.

    `floors[name]`: what `first` would take of `name` if time were multiply-adds (`costs`); a run without one shows "-".
    """
    rows = [
        f"| | median s | min-max s | {first} / this | min-max | floor | measured / floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, values in seconds.items():
        s, r = spread(values), ratio(seconds, first, name)
        against = f"{floors[name]:.3f} | {r.median / floors[name]:.2f}" if name in floors else "- | -"
        rows.append(
            f"| {name} | {s.median:.3g} | {s.low:.3g}-{s.high:.3g} "
            f"| {r.median:.3f} | {r.low:.3f}-{r.high:.3f} | {against} |"
        )
    return "\n".join(rows)
