"""What cannot be encoded is skipped by name, with the reason; the rest is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vtc_tiny
from vtc_encode import Recipe, Worker, open_source
from vtc_pictures import Unreadable

from .encoding import BROKEN, rows, run, skipped


def test_unreadable_pictures_are_listed_with_the_reason(worker: Worker, photos: Path, tmp_path: Path):
    done = run(worker, photos, tmp_path)
    listed = skipped(tmp_path)
    assert list(listed) == list(BROKEN)  # in the order of INPUT
    assert all(listed[name].startswith(reason) for name, reason in BROKEN.items())
    assert done.skipped == list(listed.items())


def test_what_is_missing_or_a_folder_is_skipped_too(worker: Worker, tmp_path: Path):
    folder = tmp_path / "in"
    (folder / "sub.png").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (9, 9)).save(folder / name)
    (folder / "broken.png").symlink_to(folder / "nowhere.png")
    source = open_source(str(folder))
    (folder / "a.png").unlink()  # after it was listed
    settings = worker.settings(source, 8)
    ((outcome, made),) = worker.encode(source, settings, [0], lambda count: None)
    assert (outcome.encoded, outcome.skipped) == (1, 2)
    assert made.ids == ["b.png"]
    assert made.skipped == [("a.png", "is not there"), ("broken.png", "is not there")]


def test_strict_stops_at_the_first_one_by_name(recipe: Recipe, photos: Path, tmp_path: Path):
    with pytest.raises(Unreadable, match=r"^cut\.png is damaged or truncated"):
        run(Worker(replace(recipe, strict=True)), photos, tmp_path)
    assert not (tmp_path / "skipped.parquet").exists()


def test_a_disk_that_fails_is_no_unreadable_picture(worker: Worker, photos: Path, tmp_path: Path, monkeypatch):
    def fail(path: Path, mode: str) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("vtc_pictures.opening.open", fail, raising=False)
    with pytest.raises(OSError, match="Input/output error"):
        run(worker, photos, tmp_path)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_shard_of_nothing_but_unreadable_pictures(worker: Worker, tmp_path: Path):
    (tmp_path / "in").mkdir()
    for i in range(5):
        (tmp_path / "in" / f"{i}.png").touch()
    vtc_tiny.scene(0).image.save(tmp_path / "in" / "9.png")
    done = run(worker, tmp_path / "in", tmp_path / "out", shard_size=3)
    assert (done.shards, done.encoded, len(done.skipped)) == (2, 1, 5)
    ids, features, *_ = rows(tmp_path / "out")
    assert (ids, features.shape) == (["9.png"], (1, 16, 96))


@pytest.mark.parametrize("strict", [False, True])
def test_features_that_are_not_finite_are_skipped_by_name(
    recipe: Recipe, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool
):
    worker = Worker(replace(recipe, strict=strict))
    encoded, seen = worker._encoded, []

    def one_of_them(pixels: torch.Tensor) -> Any:
        features, *others = encoded(pixels)
        if not seen:
            features[1, 3, 5] = np.nan
            features[2, 0, 0] = np.inf
        seen.append(features)
        return features, *others

    (tmp_path / "in").mkdir()
    for seed in range(5):
        vtc_tiny.scene(seed).image.save(tmp_path / "in" / f"{seed}.png")
    (tmp_path / "in" / "00.png").write_bytes(b"none")  # skipped before the encoder: order is INPUT's all the same
    monkeypatch.setattr(worker, "_encoded", one_of_them)
    if strict:
        with pytest.raises(Unreadable, match=r"^00\.png is not a picture"):
            run(worker, tmp_path / "in", tmp_path / "out")
        return
    run(worker, tmp_path / "in", tmp_path / "out")
    ids, features, *_ = rows(tmp_path / "out")
    assert ids == ["0.png", "3.png", "4.png"]
    np.testing.assert_array_equal(features, np.concatenate([seen[0][[0]], seen[1]]))
    assert list(skipped(tmp_path / "out")) == ["00.png", "1.png", "2.png"]
    assert skipped(tmp_path / "out")["2.png"] == "has features that are not finite in float32"
