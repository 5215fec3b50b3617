"""Numbers handed to a pool of actors on a Ray cluster, by Ray Data: what each makes of them comes back as it is done.

Ray may run a task twice, after an actor was killed for one: whoever uses this writes a file by the number's own name,
or keeps one result of two. What actors open must be what all nodes see under these paths, and vtc must be installed
on them.
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import ray
import ray.data

from .refused import Refused

Work = Callable[[int], Any]


class Actor:
    """A process of the pool: `make` is called once in it, and what that returns for each number."""

    def __init__(self, make: Callable[[], Work]) -> None:
        self.work = make()

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What was made, or raised, pickled: Ray would wrap an error in pages."""
        (number,) = map(int, rows["number"])
        result, error = None, None
        try:
            result = self.work(number)
        except Exception as raised:
            error = raised
        return {name: np.array([pickle.dumps(value).hex()]) for name, value in (("result", result), ("error", error))}


def each(
    make: Callable[[], Work], numbers: Sequence[int], workers: int, cpus: int, gpus: int, address: str | None = None
) -> Iterator[Any]:
    """What `workers` actors of the cluster at `address`, or of one started here for the time being, make of `numbers`.

    Each takes `cpus` and `gpus`. An error of an actor is raised here as it was there; the death of one is none, another
    takes its place.

    Raises:
        Refused: the cluster has no room for them.
    """
    if not numbers:
        return
    with _cluster(address, workers * cpus):
        _check_room(workers, {"CPU": cpus, "GPU": gpus})
        dataset = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        dataset = dataset.map_batches(
            Actor,  # type: ignore[arg-type]
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(numbers))),
            fn_constructor_args=(make,),
            num_cpus=cpus,
            num_gpus=gpus,
        )
        for row in dataset.iter_rows():
            if (error := pickle.loads(bytes.fromhex(row["error"]))) is not None:
                raise error
            yield pickle.loads(bytes.fromhex(row["result"]))


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
