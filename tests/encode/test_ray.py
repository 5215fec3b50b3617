"""The engine on Ray gives the local engine's files, whatever becomes of its workers."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from no_cluster import no_cluster as no_cluster

from vtc_encode import Recipe, Refused, Worker, open_source
from vtc_encode.ray_engine import _encoding, on_ray
from vtc_encode.ray_pool import Actor
from vtc_pictures import Unreadable

from .encoding import SCENES, contents, run

# `vtc encode`, with an INPUT that kills the worker in the middle of shard 2, as `kill -9` would, the first time.
KILLED = """
import os, signal, sys
from dataclasses import dataclass
from pathlib import Path
import vtc_cli.encode
from vtc_cli.app import main

listed = vtc_cli.encode.open_source

@dataclass
class Deadly:
    source: object
    mark: Path

    def __getattr__(self, name):
        return getattr(object.__getattribute__(self, "source"), name)

    def __reduce__(self):
        return Deadly, (self.source, self.mark)

    def read(self, start, stop):
        for position, picture in enumerate(self.source.read(start, stop), start):
            if position == 21 and not self.mark.exists():
                self.mark.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            yield picture

mark = Path(sys.argv.pop(1))
vtc_cli.encode.open_source = lambda words, column: Deadly(listed(words, column), mark)
if __name__ == "__main__":
    main()
"""


def test_two_workers_one_of_them_killed(worker: Worker, photos: Path, tmp_path: Path):
    """In a process of its own: Ray warns, and warnings are errors here."""
    script, mark, out = tmp_path / "killed.py", tmp_path / "killed-pid", tmp_path / "out"
    script.write_text(KILLED)
    words = [photos, out, "--keep", 16, "--dtype", "float32", "--batch", 4, "--shard-size", 8]
    on = ["--engine", "ray", "--workers", 2, "--threads", 1, "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, script, mark, "encode", *map(str, words), *map(str, on)],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},  # where Ray leaves a token
    )
    assert done.returncode == 0, done.stderr
    assert int(mark.read_text()) > 0  # it was killed
    assert done.stdout.startswith(f"{out}: {SCENES} pictures in 4 shards, 16 of 144 visual tokens, float32\n")
    assert "Traceback" not in done.stderr
    run(worker, photos, tmp_path / "local")
    assert contents(out) == contents(tmp_path / "local")


def test_an_actor_tells_what_it_did(recipe: Recipe, photos: Path, tmp_path: Path):
    source = open_source(str(photos))
    settings = Worker(recipe).settings(source, 8)
    told = Actor(partial(_encoding, recipe, source, tmp_path, settings))({"number": np.array([3])})
    outcome, error = (pickle.loads(bytes.fromhex(told[name].item())) for name in ("result", "error"))
    assert (outcome.number, outcome.encoded, outcome.skipped, error) == (3, 3, 2, None)
    assert list(contents(tmp_path)) == ["features-000003.parquet"]


@pytest.mark.usefixtures("no_cluster")
def test_an_actors_error_is_raised_as_it_was(recipe: Recipe, photos: Path, tmp_path: Path):
    with pytest.raises(Unreadable, match=r"^cut\.png is damaged or truncated"):
        run(Worker(replace(recipe, strict=True)), photos, tmp_path, engine=on_ray)


@pytest.mark.usefixtures("no_cluster")
def test_more_workers_than_the_cluster_has_room_for(worker: Worker, recipe: Recipe, photos: Path, tmp_path: Path):
    with pytest.raises(Refused, match=r"^3 workers need 6 CPUs, the cluster has 4$"):
        run(worker, photos, tmp_path, engine=partial(on_ray, workers=3))
    worker = Worker(replace(recipe, dtype="float16", device="cuda"))
    with pytest.raises(Refused, match=r"^1 workers need 1 GPUs, the cluster has 0$"):
        run(worker, photos, tmp_path, engine=on_ray)
    assert not contents(tmp_path)
