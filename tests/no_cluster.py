"""Ray's pool without Ray: one actor, in this process; for tests of what is around it."""

from typing import Any

import numpy as np
import pytest

from vtc_encode import ray_pool


class Table:
    """Stands in for Ray Data."""

    def __init__(self, items: list[dict[str, int]], override_num_blocks: int) -> None:
        self.items = items

    def map_batches(self, actor: type[ray_pool.Actor], fn_constructor_args: tuple, **_: object) -> "Table":
        self.actor = actor(*fn_constructor_args)
        return self

    def iter_rows(self):
        for item in self.items:
            made = self.actor({"number": np.array([item["number"]])})
            yield {name: column[0].item() for name, column in made.items()}


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    ray: Any = ray_pool.ray
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0})
    monkeypatch.setattr(ray.data, "from_items", Table)
