"""How the tests here write an INPUT, and read a source of pictures."""

import io
import tarfile
from pathlib import Path

from vtc_encode.sources import Source
from vtc_pictures import Unreadable


def read(source: Source, start: int = 0, stop: int | None = None) -> list[tuple[str, bytes]]:
    found = []
    for picture in source.read(start, source.count if stop is None else stop):
        with picture.open() as file:
            found.append((picture.id, file.read()))
    return found


def refusals(source: Source) -> dict[str, str | None]:
    """Of every picture, why it cannot be opened."""
    found: dict[str, str | None] = {}
    for picture in source.read(0, source.count):
        try:
            picture.open().close()
            found[picture.id] = None
        except Unreadable as error:
            found[picture.id] = str(error)
    return found


def fill(folder: Path, *names: str) -> dict[str, bytes]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return {name: name.encode() for name in names}


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # pyright: ignore
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
