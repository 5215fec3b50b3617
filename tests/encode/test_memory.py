"""What is in memory at once does not grow with the number of threads, nor with what a file claims to be."""

import io
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vtc_encode import Recipe, Worker, open_source
from vtc_pictures import MAX_BYTES, Room

from .encoding import run


def test_a_room_is_never_overfull_and_never_stuck():
    room, held, most = Room(100), [], []

    def visit(amount: int) -> None:
        with room.hold(amount):
            held.append(min(amount, 100))
            most.append(sum(held))
            held.remove(min(amount, 100))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, [1, 99, 100, 30, 30, 30, 1000, 0, 50, 51] * 20))
    assert max(most) <= 100
    assert room.free == 100


def test_a_room_is_given_back_after_an_error():
    room = Room(10)

    def fail() -> None:
        with room.hold(10):
            assert room.free == 0
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert room.free == 10


def test_pictures_of_all_threads_share_one_room(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for i in range(12):
        Image.new("RGB", (40, 20 + i)).save(tmp_path / f"{i:02}.png")
    made = Worker(replace(recipe, threads=6))
    made.decoded = Room(2 * 40 * 31)  # pixels of two of the largest
    decode, lock, now, most = made._pixels_of, threading.Lock(), [], []

    def decoding(image: Image.Image) -> Any:
        with lock:
            now.append(image.width * image.height)
            most.append((sum(now), len(now)))
        try:
            return decode(image)
        finally:
            with lock:
                now.remove(image.width * image.height)

    monkeypatch.setattr(made, "_pixels_of", decoding)
    assert run(made, tmp_path, tmp_path / "out").encoded == 12
    assert max(most)[0] <= 2 * 40 * 31
    assert made.decoded.free == made.decoded.size


def test_files_are_counted_before_they_are_decoded(worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As large as they are, whatever they hold: some decoders read all of a file to look at its header."""
    held = []

    class Counted(Room):
        def hold(self, amount: int) -> Any:
            held.append(amount)
            return super().hold(amount)

    monkeypatch.setattr(worker, "files", Counted(MAX_BYTES))
    (tmp_path / "a.webp").write_bytes(b"RIFF\0\0\0\0WEBPVP8 " + bytes(5000))
    assert len(run(worker, tmp_path, tmp_path / "out").skipped) == 1
    assert held == [5016]


def test_a_member_of_terabytes_is_refused_by_its_size(tmp_path: Path, worker: Worker):
    """A sparse one: a few bytes that say how many zeros they stand for."""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("bomb.png")
        data = b"1\n0\n8\n".ljust(512, b"\0") + b"\x89PNG\r\n\x1a\n"
        info.size = len(data)
        info.pax_headers = {
            "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "bomb.png",
            "GNU.sparse.realsize": str(6 << 40),
        }  # fmt: skip
        tar.addfile(info, io.BytesIO(data))
    source = open_source(str(tmp_path / "a.tar"))
    (picture,) = source.read(0, 1)
    with picture.open() as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    made = worker._pixels(picture)
    assert str(made) == f"is absurdly large: {6 << 40:,} bytes, and {1 << 30:,} are the limit"
