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
from filelock import FileLock

import vtc_tiny
from vtc_core.methods import VtcCls, method_of
from vtc_encode import Recipe, Refused, Worker, open_source, shards
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


@pytest.fixture(scope="session")
def uninterrupted(worker: Worker, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("uninterrupted")
    run(worker, photos, out)
    return contents(out)


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


@pytest.mark.parametrize(
    ("changes", "shard_size", "why"),
    [
        ({"keep": 17}, 8, "keep 16, not 17"),
        ({"method": VtcCls(2)}, 8, "method vtc-cls, not vtc-cls:layers=2"),
        ({"method": VtcCls(reduce="max")}, 8, "method vtc-cls, not vtc-cls:reduce=max"),
        ({"method": method_of("random")}, 8, "method vtc-cls, not random"),
        ({"dtype": "float16"}, 8, "dtype float32, not float16"),
        ({}, 9, "shard_size 8, not 9"),
    ],
)
def test_other_settings_are_refused(
    worker: Worker, recipe: Recipe, photos: Path, tmp_path: Path, changes: dict[str, Any], shard_size: int, why: str
):
    run(worker, photos, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(Refused) as caught:
        run(Worker(replace(recipe, **changes)), photos, tmp_path, shard_size)
    assert str(caught.value) == f"{tmp_path} holds features of {why}: --overwrite starts anew"
    assert contents(tmp_path) == before


def test_other_weights_are_refused_and_another_place_of_the_same_is_not(
    worker: Worker, recipe: Recipe, photos: Path, tmp_path: Path, uninterrupted: dict[str, bytes]
):
    from safetensors.torch import load_file, save_file

    out, copy = tmp_path / "out", tmp_path / "copy"
    run(worker, photos, out)
    copy.mkdir()
    for file in vtc_tiny.PATH.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    moved = replace(recipe, checkpoint=str(copy))
    run(Worker(moved), photos, out)
    assert contents(out) == uninterrupted
    weights = load_file(copy / "model.safetensors")
    weights["vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias"][0] += 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Refused, match="holds features of a checkpoint with other weights"):
        run(Worker(moved), photos, out)


def test_another_input_is_refused_and_overwrite_starts_anew(worker: Worker, photos: Path, tmp_path: Path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for seed in range(3):
        vtc_tiny.scene(seed).image.save(folder / f"{seed}.png")
    run(worker, photos, out)
    (out / "mine.txt").write_text("not ours")
    with pytest.raises(Refused, match="holds features of another INPUT, or its pictures have changed: --overwrite"):
        run(worker, folder, out)
    assert run(worker, folder, out, overwrite=True).encoded == 3
    assert sorted(contents(out)) == ["features-000000.parquet", "mine.txt", "skipped.parquet"]
    (folder / "2.png").write_bytes((folder / "1.png").read_bytes())
    with pytest.raises(Refused, match="its pictures have changed"):
        run(worker, folder, out)


def test_strict_minds_what_an_earlier_run_skipped(worker: Worker, photos: Path, tmp_path: Path):
    run(worker, photos, tmp_path)
    with pytest.raises(Unreadable, match=r"^cut\.png is damaged"):
        run(worker, photos, tmp_path, strict=True)


def test_two_at_once_are_refused(worker: Worker, photos: Path, tmp_path: Path):
    holder = "import filelock, sys; held = filelock.FileLock(sys.argv[1]).acquire(); print(1, flush=True); input()"
    words = [sys.executable, "-c", holder, str(tmp_path / ".lock")]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout
    assert other.stdout.readline() == "1\n"
    with pytest.raises(Refused, match="is being written by another vtc encode"):
        run(worker, photos, tmp_path)
    other.kill()  # a lock dies with its process
    other.communicate()
    assert run(worker, photos, tmp_path).shards == 4
    with FileLock(tmp_path / ".lock").acquire(blocking=False):  # given back
        pass


def test_a_shard_that_is_none(worker: Worker, photos: Path, tmp_path: Path):
    run(worker, photos, tmp_path)
    shard = tmp_path / "features-000002.parquet"
    whole = shard.read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2]):
        shard.write_bytes(damaged)
        with pytest.raises(Refused, match=r"features-000002\.parquet is not a shard .* remove it"):
            run(worker, photos, tmp_path)
    pq.write_table(pq.read_table(tmp_path / "skipped.parquet"), shard)  # parquet, but somebody else's
    with pytest.raises(Refused, match="is not a shard"):
        run(worker, photos, tmp_path)


def test_what_a_footer_says(worker: Worker, photos: Path, tmp_path: Path):
    run(worker, photos, tmp_path)
    settings, skipped, count = shards.read_record(tmp_path / "features-000000.parquet")
    assert settings == json.loads(json.dumps(vars(worker.settings(open_source(str(photos)), 8))))
    assert count + len(skipped) == 8
