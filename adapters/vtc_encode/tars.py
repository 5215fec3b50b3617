"""Pictures in a tar, read from their places in it."""

import io
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from vtc_pictures import Unreadable, kinds, short

from .pictures import Picture, as_id, check_name, digest, is_hidden, looks_like_one
from .refused import Refused

LONGEST = 1 << 24  # bytes of a header, with names and records


class CutOff(ValueError):
    """A tar that is not whole; raised before any picture is read."""


class Member(NamedTuple):
    name: str
    offset: int  # of its data
    size: int  # bytes
    sparse: tuple[tuple[int, int], ...] | None  # offset and size of what is stored: the rest is zeros
    refusal: str | None = None  # why it cannot be read


@dataclass(frozen=True)
class Tar:
    path: Path  # absolute
    members: tuple[Member, ...]  # in the tar's order
    digest: str
    others: int = 0  # files that are no pictures

    @property
    def count(self) -> int:
        return len(self.members)

    def read(self, start: int, stop: int) -> Iterator[Picture]:
        for member in self.members[start:stop]:
            yield Picture(as_id(member.name), partial(_open, self.path, member))


def of_tar(path: Path) -> Tar:
    """All pictures in a tar, links to them included. An id is the member's name.

    Raises:
        Refused: no tar.
        CutOff: its end is missing, or it is damaged on the way there.
    """
    known: dict[str, tarfile.TarInfo] = {}  # by name; the last one counts, as when a tar is unpacked
    pictures, others = [], 0
    try:
        with _Headers(io.FileIO(path)) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for info in _members(tar, path):
                name = posixpath.normpath(info.name)
                target = known.get(posixpath.normpath(info.linkname)) if info.islnk() else None
                known[name] = target or info  # a hard link is to what bears the name so far
                if info.isdir() or is_hidden(name):
                    continue
                if looks_like_one(name, partial(_head, tar, info)):
                    pictures.append((info.name, known[name]))
                else:
                    others += 1
    except (CutOff, OSError):
        raise
    except Exception as error:  # tarfile reads numbers and texts of damaged headers as they come
        raise Refused(f"{path} is no tar that can be read, or is cut off ({error})") from error
    members = tuple(_member(name, info, known) for name, info in pictures)
    return Tar(path.absolute(), members, digest([*members, path.stat().st_mtime_ns]), others)


class _Headers(io.BufferedReader):
    """A tar that is listed: what a header claims of its own length is not believed without limit."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None else min(size, LONGEST))


def _members(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """All of them, up to the zeros at the tar's end; tarfile itself takes any end for that of the tar."""
    size, whole = path.stat().st_size, 0
    try:
        for info in tar:
            if info.size < 0 or tar.offset <= info.offset:  # which would be read again and again
                raise CutOff(f"{path} is damaged: '{short(info.name)}' has a size below 0")
            if missing := max(tar.offset - size, 0):
                raise CutOff(
                    f"{path} is cut off: {whole} members are whole, '{short(info.name)}' lacks {missing:,} bytes"
                )
            yield info
            whole += 1
    except CutOff:
        raise
    except Exception as error:  # nearly anything
        if not whole:
            raise
        raise CutOff(f"{path} is damaged or cut off after {whole} whole members ({error})") from error
    with path.open("rb") as file:
        file.seek(tar.offset)
        end = file.read(tarfile.BLOCKSIZE)
    if end != bytes(tarfile.BLOCKSIZE):
        what = "the zeros that end a tar are missing"
        if end:
            what = f"at byte {tar.offset:,} is no header" if len(end) == tarfile.BLOCKSIZE else "a header is cut"
        raise CutOff(f"{path} is damaged or cut off: {whole} members are whole, then {what}")


def _member(name: str, info: tarfile.TarInfo, known: dict[str, tarfile.TarInfo]) -> Member:
    """Where a picture's bytes are; links are followed inside the tar, as far as they lead."""
    followed = set()
    while info.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(info.name), info.linkname))
        if target in followed or target not in known:
            why = "that leads back to itself" if target in followed else f"to {info.linkname!r}, not in the tar"
            return Member(name, 0, 0, None, f"is a link {why}")
        followed.add(target)
        info = known[target]
    if info.islnk():
        return Member(name, 0, 0, None, f"is a link to {info.linkname!r}, not in the tar")
    if not info.isreg():
        return Member(name, 0, 0, None, f"is {'a folder' if info.isdir() else 'a pipe or device'}, not a picture")
    sparse: Any = None if info.sparse is None else tuple(info.sparse)
    return Member(name, info.offset_data, info.size, sparse)


class _File(tarfile.ExFileObject):
    """A member, sparse or not, that closes its tar when it is closed."""

    def __init__(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        super().__init__(tar, info)  # pyright: ignore
        self._tar = tar

    def close(self) -> None:
        super().close()
        self._tar.close()


def _open(path: Path, member: Member) -> _File:
    if member.refusal:
        raise Unreadable(member.refusal)
    check_name(member.name)
    info = tarfile.TarInfo(member.name)
    info.offset_data, info.size, info.sparse = member.offset, member.size, member.sparse  # pyright: ignore
    return _File(tarfile.open(path, "r:"), info)


def _head(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info) if info.isreg() else None
    return file.read(kinds.HEAD) if file else b""
