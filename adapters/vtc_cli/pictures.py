"""The picture that a command is given, and the place where it writes one."""

import io
import os
import stat
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

from PIL import Image

from vtc_pictures import MAX_BYTES, Unreadable, open_file, read_picture, short, why_unreadable

from .errors import BadUsage


def open_picture(path: Path) -> Image.Image:
    """`vtc_pictures.read_picture` of a file, a pipe (`<(curl ...)`, /dev/stdin), or standard input where path is `-`.

    Raises:
        BadUsage: not there, not a picture, damaged, or absurdly large.
    """
    try:
        with _opened(path) as file:
            return read_picture(file)
    except Unreadable as error:
        raise BadUsage(f"{short(path)} {error}") from error.__cause__
    except OSError as error:
        raise BadUsage(f"{short(path)} {why_unreadable(error)}") from error


def _opened(path: Path) -> io.BufferedIOBase:
    if str(path) == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise Unreadable("is a picture on standard input, and nothing is sent there: cat photo.jpg | vtc ...")
        return _whole(sys.stdin.buffer)
    if not _is_pipe(path):
        return open_file(path)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:  # where nobody writes, opening would wait
        os.set_blocking(pipe.fileno(), True)
        return _whole(pipe)


def _is_pipe(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):  # `open_file` has words for it
        return False


def _whole(pipe: BinaryIO) -> io.BytesIO:
    """What comes through a pipe, to be read from any place; of what is too much, so much that this is seen."""
    return io.BytesIO(pipe.read(MAX_BYTES + 1))


def check_out(path: Path, picture: Path | None = None) -> None:
    """Refuse a place where no PNG can be written, or where `picture` is read from, before any work is done for it."""
    folder = path.parent
    if path.suffix.lower() != ".png":
        raise BadUsage(f"--out {path} must end in .png")
    if os.path.isdir(path):
        raise BadUsage(f"--out {path} is a folder")
    if not os.path.isdir(folder):
        raise BadUsage(f"--out {path}: there is no folder {folder}")
    if os.path.lexists(path) and not os.path.isfile(path):
        raise BadUsage(f"--out {path} is no file, and is not replaced by one")
    if picture and os.path.exists(path) and os.path.exists(picture) and os.path.samefile(path, picture):
        raise BadUsage(f"--out {path} is the picture that is read: name another file")
    if not os.access(folder, os.W_OK) or (os.path.exists(path) and not os.access(path, os.W_OK)):
        raise BadUsage(f"--out {path} cannot be written: permission denied")


def write_whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file as a whole or not at all: a disk that is full, or Ctrl-C, leaves what was there before."""
    place = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
    temporary = place.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
