"""Nothing is lost and nothing is there twice, however a run ends."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from vtc_encode import Recipe, Worker, open_source, shards
from vtc_pictures import Unreadable

from .encoding import contents, run

# Kills itself, as `kill -9` would, when OUT holds two shards: while it decodes, before and after a rename.
KILLED = """
import os, signal, sys
from pathlib import Path
from vtc_cli.app import app
from vtc_encode import shards, worker

where, out = sys.argv[1], Path(sys.argv[3])
die = lambda: len(list(out.glob("features-*"))) >= 2 and os.kill(os.getpid(), signal.SIGKILL)
decode, replace = worker.Worker._pixels, os.replace

def decoding(self, picture):
    die()
    return decode(self, picture)

def before(temporary, path):
    die()
    replace(temporary, path)

def after(temporary, path):
    replace(temporary, path)
    die()

if where == "decoding":
    worker.Worker._pixels = decoding
else:
    shards.os.replace = {"before": before, "after": after}[where]
app(["encode", *sys.argv[2:]])
"""


@pytest.mark.parametrize("where", ["decoding", "before", "after"])
def test_kill_9_and_again(worker: Worker, photos: Path, tmp_path: Path, uninterrupted: dict[str, bytes], where: str):
    words = [photos, tmp_path, "--keep", 16, "--dtype", "float32", "--batch", 4, "--shard-size", 8]
    command = [sys.executable, "-c", KILLED, where, *map(str, words)]
    killed = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert killed.returncode == -9, killed.stderr
    left = {path.name for path in tmp_path.iterdir() if path.name != ".lock"}
    finished = {name for name in left if name.startswith("features-")}
    assert 2 <= len(finished) < 4  # the encoder may be a shard ahead of the picture that kills
    assert len(left - finished) == (where == "before")  # a temporary file, whole but not renamed
    kept = {name: (tmp_path / name).stat().st_mtime_ns for name in finished}
    done = run(worker, photos, tmp_path)
    assert contents(tmp_path) == uninterrupted  # to the bit, and no remains
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in finished} == kept  # not made again
    assert done.shards == 4


def test_a_finished_run_does_nothing_again(worker: Worker, photos: Path, tmp_path: Path, monkeypatch):
    first = run(worker, photos, tmp_path)
    monkeypatch.setattr(worker, "_encoded", None)
    again = run(worker, photos, tmp_path)
    assert again == first._replace(seconds=0)


def test_a_lost_shard_is_made_again(worker: Worker, photos: Path, tmp_path: Path, uninterrupted: dict[str, bytes]):
    run(worker, photos, tmp_path)
    (tmp_path / "features-000001.parquet").unlink()
    run(worker, photos, tmp_path)
    assert contents(tmp_path) == uninterrupted


def test_threads_do_not_matter(recipe: Recipe, photos: Path, tmp_path: Path, uninterrupted: dict[str, bytes]):
    run(Worker(replace(recipe, threads=7)), photos, tmp_path)
    assert contents(tmp_path) == uninterrupted


def full(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """A disk with room for so many files and a half."""
    write, written = pq.write_table, []

    def write_table(table: Any, file: Any, **how: Any) -> None:
        if len(written) < after:
            written.append(file)
            write(table, file, **how)
            return
        file.write(b"PAR1 and half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", write_table)


@pytest.mark.parametrize("after", [0, 2, 4])  # 4: no room for the list of what was skipped
def test_a_full_disk(
    worker: Worker, photos: Path, tmp_path: Path, uninterrupted: dict[str, bytes], monkeypatch, after: int
):
    with monkeypatch.context() as patched:
        full(patched, after)
        with pytest.raises(OSError, match="No space left on device"):
            run(worker, photos, tmp_path)
    assert sorted(contents(tmp_path)) == [f"features-{i:06}.parquet" for i in range(after)]  # nothing half-written
    run(worker, photos, tmp_path)
    assert contents(tmp_path) == uninterrupted


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
def test_a_disk_that_is_really_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "open", lambda path, mode: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(OSError, match="No space left on device") as caught:
        shards.write_skipped(tmp_path, [("a.png", "is empty")] * 100)
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_strict_minds_what_an_earlier_run_skipped(worker: Worker, photos: Path, tmp_path: Path):
    run(worker, photos, tmp_path)
    with pytest.raises(Unreadable, match=r"^cut\.png is damaged"):
        run(worker, photos, tmp_path, strict=True)


def test_what_a_footer_says(worker: Worker, photos: Path, tmp_path: Path):
    run(worker, photos, tmp_path)
    settings, skipped, count = shards.read_record(tmp_path / "features-000000.parquet")
    assert settings == json.loads(json.dumps(vars(worker.settings(open_source(str(photos)), 8))))
    assert count + len(skipped) == 8
