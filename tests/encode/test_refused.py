"""When a run does not go on with what OUT holds: of other settings, weights or pictures, damaged, or being written."""

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
from vtc_encode import Recipe, Refused, Worker

from .encoding import contents, run


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
