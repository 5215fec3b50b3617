"""Pictures as files: a folder, or what a glob matches."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .pictures import Picture, as_id, digest, looks_like_one
from .refused import Refused


@dataclass(frozen=True)
class Files:
    root: Path  # absolute: workers run elsewhere
    names: tuple[str, ...]  # below root, sorted
    digest: str

    @property
    def count(self) -> int:
        return len(self.names)

    def read(self, start: int, stop: int) -> Iterator[Picture]:
        for name in self.names[start:stop]:
            yield Picture(as_id(name), partial(open, self.root / name, "rb"))


def of_folder(folder: Path) -> Files:
    """All pictures below `folder`, as their suffixes tell; hidden files and folders are left out, links not followed.

    An id is the path below `folder`.
    """
    return _files(folder.absolute(), (name for name in _walk(str(folder), "") if looks_like_one(name)))


def of_glob(pattern: str) -> Files:
    """All files that the pattern matches, whatever their suffixes; `**` is any depth. An id is the path as matched."""
    matched = [match for match in glob.glob(pattern, recursive=True) if os.path.isfile(match)]
    if os.path.isfile(pattern):  # a name with [ ] in it
        matched = [pattern]
    if not matched:
        raise Refused(f"{pattern}: no such file or folder, and no file matches it")
    return _files(Path.cwd(), matched)


def _walk(folder: str, below: str) -> Iterator[str]:
    with os.scandir(os.path.join(folder, below)) as entries:
        for entry in entries:
            name = os.path.join(below, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    yield from _walk(folder, name)
            elif entry.is_file() or not os.path.exists(entry.path):  # a broken link is skipped by name, not silently
                yield name


def _files(root: Path, names: Iterable[str]) -> Files:
    found = tuple(sorted(names))
    return Files(root, found, digest((name, *_state(root / name)) for name in found))


def _state(path: Path) -> tuple[int, int]:
    """Size and time of change, by which a changed file is known."""
    try:
        state = path.stat()
    except OSError:
        return -1, -1
    return state.st_size, state.st_mtime_ns
