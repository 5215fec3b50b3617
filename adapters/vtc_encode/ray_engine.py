"""The engine that is a Ray cluster: Ray Data hands numbers of shards to a pool of actors.

A shard is the unit of work, read, encoded and written by one actor, and its file name and rows follow from its number:
Ray may run a task twice, after an actor was killed for one, and still nothing is lost or there twice. (Ray Data's
own `write_parquet` names files anew in each try.) INPUT and OUT must be what all nodes see under these paths, and vtc
must be installed on them.
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data

from .local import local
from .recipe import Recipe
from .refused import Refused
from .shards import Outcome, Settings
from .sources import Source
from .worker import Worker


class Actor:
    """A worker process of the pool."""

    def __init__(self, recipe: Recipe, source: Source, out: Path, settings: Settings) -> None:
        self.worker = Worker(recipe)
        self.source, self.out, self.settings = source, out, settings

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """For a number of a shard its `Outcome`, or an error, pickled: Ray would wrap that in pages."""
        (number,) = map(int, rows["number"])
        error = ""
        try:
            (outcome,) = local(self.worker, self.source, self.out, self.settings, [number], lambda count: None)
        except Exception as raised:
            outcome, error = Outcome(number, 0, 0, 0.0), pickle.dumps(raised).hex()
        return {name: np.array([value]) for name, value in {**outcome._asdict(), "error": error}.items()}


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
    """As `local`, by `workers` actors of the cluster at `address`, or of one started here for the time being.

    An actor takes as many CPUs as its recipe has threads, and one GPU where the recipe's device is a GPU. An error of
    an actor is raised here as it was there; the death of one is none, another takes its place.
    """
    if not numbers:
        return
    per_actor = {"CPU": worker.recipe.threads, "GPU": 0 if worker.recipe.device == "cpu" else 1}
    with _cluster(address, workers * per_actor["CPU"]):
        _check_room(workers, per_actor)
        made = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        made = made.map_batches(
            Actor,  # type: ignore[arg-type]
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(numbers))),
            fn_constructor_args=(worker.recipe, source, out.absolute(), settings),
            num_cpus=per_actor["CPU"],
            num_gpus=per_actor["GPU"],
        )
        for row in made.iter_rows():
            if error := row.pop("error"):
                raise pickle.loads(bytes.fromhex(error))
            outcome = Outcome(**row)
            start, stop = settings.span(outcome.number)
            step(stop - start)
            yield outcome


@contextmanager
def _cluster(address: str | None, cpus: int) -> Iterator[None]:
    """Connected to it, without Ray's remarks; a connection that is there already is used and left alone."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here tells nobody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        settings |= {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
    ray.init(address or "local", **settings)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
    finally:
        ray.shutdown()


def _check_room(workers: int, per_actor: dict[str, int]) -> None:
    """Ray itself would wait for what is not there."""
    has = ray.cluster_resources()
    for kind, count in per_actor.items():
        if workers * count > has.get(kind, 0):
            raise Refused(f"{workers} workers need {workers * count} {kind}s, the cluster has {has.get(kind, 0):g}")
