"""Pictures as files: a folder, or what a glob matches."""

import glob
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vtc_pictures import Unreadable, kinds, open_file

from .pictures import Picture, as_id, check_name, digest, is_hidden, looks_like_one
from .refused import Refused


@dataclass(frozen=True)
class Files:
    root: Path  # absolute: workers run elsewhere
    names: tuple[str, ...]  # below root, sorted
    digest: str
    by_name: bool  # only what is named as a picture is read
    others: int = 0  # files that are no pictures

    @property
    def count(self) -> int:
        return len(self.names)

    def read(self, start: int, stop: int) -> Iterator[Picture]:
        for name in self.names[start:stop]:
            yield Picture(as_id(name), partial(_open, self.root / name, self.by_name))


def of_folder(folder: Path) -> Files:
    """All pictures below `folder`; hidden files and folders are left out, links to folders not followed.

    What looks like a picture by its suffix or first bytes, but cannot be read, is there to be skipped by name. An id is
    the path below `folder`.
    """
    names = [name for name in _walk(str(folder), "") if not is_hidden(name)]
    pictures = [name for name in names if looks_like_one(name, partial(_head, folder / name))]
    return _files(folder.absolute(), pictures, True, len(names) - len(pictures))


def of_glob(pattern: str) -> Files:
    """All files that the pattern matches, whatever their suffixes. An id is the path as matched.

    `**` is any depth, and follows no links: neither round in circles nor out of the folder.
    """
    if os.path.lexists(pattern):  # also a name with [ ] in it
        try:
            open_file(pattern).close()
        except Unreadable as error:
            raise Refused(f"{pattern} {error}") from error
        matched = {pattern}
    else:
        matched = {match for match in _glob(pattern) if not os.path.isdir(match)}
    if not matched:
        raise Refused(f"{pattern}: no such file or folder, and no file matches it")
    return _files(Path.cwd(), matched, by_name=False)


def _glob(pattern: str) -> Iterator[str]:
    parts = pattern.split(os.sep)
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    at = parts.index("**")
    above, below = os.path.join(*parts[:at], ""), os.path.join(*parts[at + 1 :], "")
    above = os.sep + above if pattern.startswith(os.sep) else above
    for top in glob.iglob(above) if above else [""]:
        for folder in _folders(top):
            yield from _glob(glob.escape(folder) + (below.rstrip(os.sep) or "*"))


def _folders(top: str) -> Iterator[str]:
    """This folder and all below it, each with a separator at its end."""
    yield top
    with os.scandir(top or os.curdir) as entries:
        below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and not is_hidden(entry.name)]
    for name in below:
        yield from _folders(os.path.join(top, name, ""))


def _walk(folder: str, below: str) -> Iterator[str]:
    with os.scandir(os.path.join(folder, below)) as entries:
        for entry in entries:
            name = os.path.join(below, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    yield from _walk(folder, name)
            elif not os.path.isdir(entry.path):  # a link that is broken is skipped by name, not silently
                yield name


def _files(root: Path, names: Iterable[str], by_name: bool, others: int = 0) -> Files:
    found = tuple(sorted(names))
    return Files(root, found, digest((name, *_state(root / name)) for name in found), by_name, others)


def _state(path: Path) -> tuple[int, int]:
    """Size and time of change, by which a changed file is known."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return -1, -1
    return state.st_size, state.st_mtime_ns


def _open(path: Path, by_name: bool) -> io.BufferedReader:
    if by_name:
        check_name(path.name)
    return open_file(path)


def _head(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return file.read(kinds.HEAD)
    except (Unreadable, OSError):
        return b""
