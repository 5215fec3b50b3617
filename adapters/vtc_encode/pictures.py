"""One picture of an INPUT, whatever that is."""

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from PIL import Image


class Picture(NamedTuple):
    id: str
    open: Callable[[], io.BufferedIOBase]  # from any thread; OSError or `vtc_pictures.Unreadable`


def looks_like_one(name: str) -> bool:
    """Whether a file in a folder or a tar is meant to be a picture: by its suffix, and not hidden."""
    base = os.path.basename(name)
    suffix = os.path.splitext(base)[1].lower()
    return not base.startswith(".") and Image.registered_extensions().get(suffix) in Image.OPEN


def as_id(name: str) -> str:
    r"""A file name as text that every reader of parquet takes: bytes that are no UTF-8 become \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def digest(lines: Iterable[object]) -> str:
    """32 hexadecimal digits of a list, to know it again."""
    made = hashlib.blake2b(digest_size=16)
    for line in lines:
        made.update(f"{line!r}\n".encode("utf-8", "backslashreplace"))
    return made.hexdigest()
