"""One picture of an INPUT, whatever that is."""

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from vtc_pictures import Unreadable, kinds


class Picture(NamedTuple):
    id: str
    open: Callable[[], io.BufferedIOBase]  # from any thread; OSError or `vtc_pictures.Unreadable`


def is_hidden(name: str) -> bool:
    return os.path.basename(name).startswith(".")


def looks_like_one(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file in a folder or a tar is meant to be a picture: by its suffix, or else by its first bytes."""
    if kinds.readable(name) or kinds.kind_of_name(name):
        return True
    return not kinds.is_something_else(name) and kinds.kind_of(head()) is not None


def check_name(name: str) -> None:
    """
    Raises:
        Unreadable: a file that `looks_like_one`, but not like one that can be read here.
    """
    if kind := kinds.kind_of_name(name):
        raise Unreadable(kinds.refusal(kind))
    if not kinds.readable(name):
        raise Unreadable("is not named as pictures are, though it begins as one: rename it if it is whole")


def as_id(name: str) -> str:
    r"""A file name as text that every reader of parquet takes: bytes that are no UTF-8 become \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def digest(lines: Iterable[object]) -> str:
    """32 hexadecimal digits of a list, to know it again."""
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(f"{line!r}\n".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()
