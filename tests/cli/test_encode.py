"""`vtc encode`: what it says, and its exit codes. What the files hold is tested in tests/encode."""

import errno
from pathlib import Path
from typing import Any, NoReturn

import pyarrow.parquet as pq
import pytest
from small_models import picture

import vtc_tiny
from vtc_cli import options

from .running import Vtc


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(5):
        picture(i).save(folder / f"{i}.png")
    return folder


def test_a_corpus(vtc: Vtc, photos: Path, checkpoint: Path, tmp_path: Path):
    (photos / "zero.png").touch()
    words = ["encode", "photos", "features", "--model", checkpoint, "--keep", 9, "--shard-size", 4]
    result = vtc(*words)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "features: 5 pictures in 2 shards, 9 of 36 visual tokens, float16\n"
        "features/skipped.parquet: 1 pictures that could not be encoded, the first: zero.png is empty (0 bytes)\n"
    )
    assert "pictures per second" in result.stderr
    table = pq.read_table([tmp_path / "features" / f"features-{i:06}.parquet" for i in range(2)])
    assert table["id"].to_pylist() == [f"{i}.png" for i in range(5)]
    again = vtc(*words)
    assert (again.exit_code, again.stdout) == (0, result.stdout)
    assert "features: 2 of 2 shards are there already" in again.stderr
    assert "pictures per second" not in again.stderr


def test_strict_is_1_and_a_name(vtc: Vtc, photos: Path, checkpoint: Path):
    (photos / "3.png").write_bytes(b"")
    result = vtc("encode", "photos", "features", "--model", checkpoint, "--strict")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.strip() == "vtc: 3.png is empty (0 bytes)"


def test_nothing_that_can_be_read_is_1(vtc: Vtc, tmp_path: Path, checkpoint: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    result = vtc("encode", "photos", "features", "--model", checkpoint)
    assert result.exit_code == 1
    assert result.stderr.strip() == (
        "vtc: none of photos's pictures could be encoded, the first: a.png is empty (0 bytes) "
        "(all in features/skipped.parquet)"
    )
    assert pq.read_table(tmp_path / "features" / "skipped.parquet")["id"].to_pylist() == ["a.png"]


def test_a_full_disk_is_1_and_one_line(vtc: Vtc, photos: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    words = ["encode", "photos", "features", "--model", checkpoint]
    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", full)
        result = vtc(*words)
    assert result.exit_code == 1
    assert result.stderr.strip() == "vtc: [Errno 28] No space left on device"
    assert vtc(*words).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "out"], "nowhere: no such file or folder"),
        (["photos", "a-file"], "a-file is a file: OUT is a folder"),
        (["empty", "out"], "empty holds no pictures"),
        (["*.bmp", "out"], "*.bmp: no such file or folder, and no file matches it"),
        (["photos", "out", "--keep", 37], "keep must be an integer in [1, 36] (the number of patch tokens), got 37"),
        (["photos", "out", "--layers", 5], "layers must be an integer in [1, 4]"),
        (["photos", "out", "--workers", 2], "--workers 2 is for --engine ray"),
        (["photos", "out", "--address", "auto"], "--address is for --engine ray"),
        (["photos", "out", "--column", "image"], "--column is for a parquet file, got photos"),
        (["photos", "out", "--batch", 0], "Invalid value for '--batch'"),
        (["photos", "out", "--dtype", "int8"], "Invalid value for '--dtype'"),
        (["photos", "out", "--engine", "spark"], "Invalid value for '--engine'"),
        (["photos"], "Missing argument 'OUT'"),
    ],
)
def test_bad_usage_is_2_and_leaves_nothing(
    vtc: Vtc, photos: Path, checkpoint: Path, tmp_path: Path, words: list[Any], message: str
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").touch()
    result = vtc("encode", *words, "--model", checkpoint)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith(f"vtc: {message}")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_other_settings_are_2(vtc: Vtc, photos: Path, checkpoint: Path):
    words = ["encode", "photos", "features", "--model", checkpoint, "--keep"]
    assert vtc(*words, 4).exit_code == 0
    result = vtc(*words, 5)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "vtc: features holds features of keep 4, not 5: --overwrite starts anew\n"
    assert vtc(*words, 5, "--overwrite").exit_code == 0


@pytest.mark.parametrize(("engine", "module"), [("local", "pyarrow"), ("ray", "ray")])
def test_an_extra_that_is_not_installed(vtc: Vtc, photos: Path, monkeypatch, engine: str, module: str):
    monkeypatch.setattr(options, "find_spec", lambda name: None if name == module else object())
    result = vtc("encode", "photos", "features", "--engine", engine)
    assert result.exit_code == 2
    extra = "encode" if module == "pyarrow" else "ray"
    assert result.stderr == f"vtc: this needs {module}, which is not installed: pip install 'vtc-cls[{extra}]'\n"


def test_a_glob_and_the_embedded_model(vtc: Vtc, tmp_path: Path):
    """Needs the embedded weights."""
    for i in range(2):
        vtc_tiny.scene(i).image.save(tmp_path / f"{i}.png")
    result = vtc("encode", "*.png", "features", "--dtype", "float32")
    assert result.stdout == (
        "features: 2 pictures in 1 shards, 16 of 144 visual tokens (1/9, as --keep is not given), float32\n"
    )
    assert result.stderr.startswith("no --model given: the embedded model")
