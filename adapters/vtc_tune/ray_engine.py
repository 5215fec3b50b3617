"""The engine that is a Ray cluster: a block of samples is the unit of work, and whoever asked for it writes it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from vtc_encode.ray_pool import Work, each

from .block import Row
from .job import Job, Step

Load = Callable[[], tuple[Any, Any]]


def on_ray(
    job: Job,
    numbers: Sequence[int],
    step: Step,
    *,
    load: Load,
    workers: int = 1,
    threads: int = 1,
    gpus: int = 0,
    address: str | None = None,
) -> Iterator[tuple[int, list[Row]]]:
    """As `local`, by `workers` actors of the cluster at `address`, or of one started here; see `ray_pool.each`.

    `load` makes the (model, processor) in each, a stock pair. Pictures must be what all nodes see under their paths.
    """
    for number, rows in each(partial(_asking, job, load, threads), numbers, workers, threads, gpus, address):
        for _ in range(job.steps):
            step(None)
        yield number, rows


def _asking(job: Job, load: Load, threads: int) -> Work:
    torch.set_num_threads(threads)
    measuring = job.measuring(*load(), lambda result: result)
    return lambda number: (number, measuring(number))
