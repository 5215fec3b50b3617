"""A picture is written whole or not at all, and never over what is read."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtc_cli.errors import BadUsage
from vtc_cli.pictures import check_out, write_whole

from .running import Vtc


def test_a_figure_is_written_whole_or_not_at_all(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"the older one")

    def half(file: object) -> None:
        file.write(b"half of it")  # pyright: ignore
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.png", half)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "b.png", lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.png": b"the older one"}
    (tmp_path / "link.png").symlink_to("a.png")
    write_whole(tmp_path / "link.png", lambda file: file.write(b"new"))
    assert (tmp_path / "a.png").read_bytes() == b"new"
    assert (tmp_path / "link.png").is_symlink()


@pytest.mark.parametrize("command", ["show", "demo"])
def test_a_full_disk_leaves_the_older_picture(
    vtc: Vtc, photo: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
):
    (tmp_path / "kept.png").write_bytes(b"the older one")

    def full(figure: object, file: object, **_: object) -> None:
        file.write(b"half of it")  # pyright: ignore
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    words = ["show", photo, "--model", checkpoint] if command == "show" else ["demo", "--scenes", 1]
    result = vtc(*words, "--out", "kept.png")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "vtc: [Errno 28] No space left on device")
    assert (tmp_path / "kept.png").read_bytes() == b"the older one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.png", "photo.jpg"]


def test_the_picture_that_is_read_is_no_place_to_write(tmp_path: Path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "hard.png").hardlink_to(tmp_path / "a.png")
    for name in ("a.png", "link.png", "hard.png"):
        with pytest.raises(BadUsage, match="is the picture that is read: name another file"):
            check_out(tmp_path / name, tmp_path / "a.png")
    check_out(tmp_path / "b.png", tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadUsage, match="is no file, and is not replaced by one"):
        check_out(tmp_path / "pipe.png")
