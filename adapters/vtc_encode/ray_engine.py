"""The engine that is a Ray cluster: a shard is the unit of work, read, encoded and written by one actor.

Its file name and rows follow from its number: Ray may run a task twice, and still nothing is lost or there twice. (Ray
Data's own `write_parquet` names files anew in each try.)
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from .local import local
from .ray_pool import Work, each
from .recipe import Recipe
from .shards import Outcome, Settings
from .sources import Source
from .worker import Worker


def on_ray(
    worker: Worker,
    source: Source,
    out: Path,
    settings: Settings,
    numbers: Sequence[int],
    step: Callable[[int], None],
    *,
    workers: int = 1,
    address: str | None = None,
) -> Iterator[Outcome]:
    """As `local`, by actors of a cluster, see `ray_pool.each`.

    An actor takes as many CPUs as its recipe has threads, and one GPU where the recipe's device is a GPU.
    """
    recipe = worker.recipe
    make = partial(_encoding, recipe, source, out.absolute(), settings)
    for outcome in each(make, numbers, workers, recipe.threads, int(recipe.device != "cpu"), address):
        start, stop = settings.span(outcome.number)
        step(stop - start)
        yield outcome


def _encoding(recipe: Recipe, source: Source, out: Path, settings: Settings) -> Work:
    worker = Worker(recipe)

    def encode(number: int) -> Outcome:
        (outcome,) = local(worker, source, out, settings, [number], lambda count: None)
        return outcome

    return encode
