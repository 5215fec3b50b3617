"""Pictures in a tar, read from their places in it."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .pictures import Picture, as_id, digest, looks_like_one
from .refused import Refused


class Member(NamedTuple):
    name: str
    offset: int
    size: int  # bytes


@dataclass(frozen=True)
class Tar:
    path: Path  # absolute
    members: tuple[Member, ...]  # in the tar's order
    digest: str

    @property
    def count(self) -> int:
        return len(self.members)

    def read(self, start: int, stop: int) -> Iterator[Picture]:
        for member in self.members[start:stop]:
            yield Picture(as_id(member.name), partial(_open, self.path, member))


def of_tar(path: Path) -> Tar:
    """All pictures in a tar, as their suffixes tell. An id is the member's name."""
    try:
        with tarfile.open(path, "r:") as tar:
            files = [file for file in tar if file.isreg() and looks_like_one(file.name)]
    except tarfile.TarError as error:
        raise Refused(f"{path} is no tar that can be read, or is cut off ({error})") from error
    members = tuple(Member(file.name, file.offset_data, file.size) for file in files)
    return Tar(path.absolute(), members, digest([*members, path.stat().st_mtime_ns]))


def _open(path: Path, member: Member) -> io.BufferedIOBase:
    with path.open("rb") as file:
        file.seek(member.offset)
        return io.BytesIO(file.read(member.size))
