"""Tars: sparse members and links as `tarfile` and GNU tar read them, and tars that are not whole."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from vtc_encode import Refused, open_source
from vtc_encode.tars import CutOff

from .sourcing import read, refusals, tar_of

BLOCK = 512


def holey(path: Path) -> bytes:
    """A file with holes at its start, in its middle and at its end."""
    with path.open("wb") as file:
        file.seek(300_000)
        file.write(os.urandom(70_000))
        file.seek(2_000_000)
        file.write(b"end of data")
        file.truncate(2_500_000)
    return path.read_bytes()


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize("how", ["gnu", "posix", "posix 0.0", "posix 0.1", "posix 1.0", "old"])
def test_sparse_members(tmp_path: Path, how: str):
    (tmp_path / "in").mkdir()
    files = {name: holey(tmp_path / "in" / name) for name in ("a.png", "c.png")}
    files["b.png"] = b"between them"
    (tmp_path / "in" / "b.png").write_bytes(files["b.png"])
    kind, _, version = how.partition(" ")
    words = [f"--format={'oldgnu' if kind == 'old' else kind}", *([f"--sparse-version={version}"] if version else [])]
    made = ["tar", "-S", *words, "-cf", tmp_path / "a.tar", "-C", tmp_path / "in", "a.png", "b.png", "c.png"]
    subprocess.run(made, check=True, capture_output=True)
    assert (tmp_path / "a.tar").stat().st_size < 1_000_000  # it is sparse
    source = open_source(str(tmp_path / "a.tar"))
    assert read(source) == [(name, files[name]) for name in ("a.png", "b.png", "c.png")]
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert [(info.name, tar.extractfile(info).read()) for info in tar] == read(source)  # pyright: ignore


def linked(path: Path, *entries: tuple[str, bytes, str]) -> Path:
    """Members of a name and a type, with a link's target or a file's content."""
    with tarfile.open(path, "w") as tar:
        for name, kind, what in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what.encode()))
            else:
                info.linkname = what
                tar.addfile(info)
    return path


FILE, HARD, SOFT, PIPE, FOLDER, DEVICE = (
    tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE,
)  # fmt: skip


def test_links_inside_a_tar_are_followed(tmp_path: Path):
    source = open_source(
        str(
            linked(
                tmp_path / "a.tar",
                ("d/early.png", SOFT, "sub/one.png"),  # to what comes later
                ("d/sub/one.png", FILE, "one"),
                ("hard.png", HARD, "d/sub/one.png"),
                ("d/up.png", SOFT, "../hard.png"),
                ("far.png", SOFT, "./d/../d/early.png"),
                ("d/sub/one.png", FILE, "another one"),
            )
        )
    )
    contents = ["another one", "one", "one", "one", "another one", "another one"]
    names = ["d/early.png", "d/sub/one.png", "hard.png", "d/up.png", "far.png", "d/sub/one.png"]
    assert read(source) == [(name, text.encode()) for name, text in zip(names, contents, strict=True)]


def test_links_that_lead_nowhere_are_listed(tmp_path: Path):
    (tmp_path / "secret.png").write_bytes(b"not in the tar")
    source = open_source(
        str(
            linked(
                tmp_path / "a.tar",
                ("out.png", SOFT, "../secret.png"),
                ("root.png", SOFT, str(tmp_path / "secret.png")),
                ("hard.png", HARD, "later.png"),  # as an unpacked one, to what is there so far
                ("later.png", FILE, "x"),
                ("self.png", SOFT, "self.png"),
                ("a.png", SOFT, "b.png"),
                ("b.png", SOFT, "a.png"),
                ("to-folder.png", SOFT, "folder"),
                ("folder", FOLDER, ""),
                ("pipe.png", PIPE, ""),
                ("tty.png", DEVICE, ""),
                ("tty", DEVICE, ""),
            )
        )
    )
    assert refusals(source) == {
        "out.png": "is a link to '../secret.png', not in the tar",
        "root.png": f"is a link to '{tmp_path / 'secret.png'}', not in the tar",
        "hard.png": "is a link to 'later.png', not in the tar",
        "later.png": None,
        "self.png": "is a link that leads back to itself",
        "a.png": "is a link that leads back to itself",
        "b.png": "is a link that leads back to itself",
        "to-folder.png": "is a folder, not a picture",
        "pipe.png": "is a pipe or device, not a picture",
        "tty.png": "is a pipe or device, not a picture",
    }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_cut_anywhere_is_no_tar(tmp_path: Path, form: int):
    """At every block, and in the middle of each: never fewer pictures than there were, and no word."""
    long = "n" * 90 + "/" + "m" * 90 + ".png"  # in two headers, but for ustar
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        for name in ("1.png", long, "e.png", "3.png"):
            info = tarfile.TarInfo(name)
            info.size = 0 if name == "e.png" else 1300
            tar.addfile(info, io.BytesIO(bytes(range(256)) * 6))
        end = tar.offset
    whole = (tmp_path / "a.tar").read_bytes()
    cut = tmp_path / "cut.tar"
    for size in range(BLOCK, end + BLOCK, BLOCK // 2):
        cut.write_bytes(whole[:size])
        with pytest.raises(CutOff, match=r"cut\.tar is (damaged or )?cut off"):
            open_source(str(cut))
    for size in (end + BLOCK, end + 2 * BLOCK, len(whole)):
        cut.write_bytes(whole[:size])
        assert open_source(str(cut)).count == 4


def test_what_is_missing_is_said(tmp_path: Path):
    whole = tar_of(tmp_path / "a.tar", {f"{i}.png": bytes(1000) for i in range(5)}).read_bytes()
    member = 3 * BLOCK
    for data, why in [
        (whole[: 3 * member], "is damaged or cut off: 3 members are whole, then the zeros that end a tar are missing"),
        (whole[: 3 * member + 100], "is damaged or cut off: 3 members are whole, then a header is cut"),
        (whole[: 3 * member + 700], "is cut off: 3 members are whole, '3.png' lacks 836 bytes"),
        (
            whole[: 3 * member] + b"x" * 4000,
            "is damaged or cut off: 3 members are whole, then at byte 4,608 is no header",
        ),
    ]:
        (tmp_path / "cut.tar").write_bytes(data)
        with pytest.raises(CutOff) as caught:
            open_source(str(tmp_path / "cut.tar"))
        assert str(caught.value) == f"{tmp_path / 'cut.tar'} {why}"


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    made = bytearray(
        name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size + b"00000000000\0" + b" " * 8 + kind
    )
    made += bytes(100) + b"ustar\x0000" + bytes(BLOCK - len(made) - 108)
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


@pytest.mark.parametrize("size", [-512, -1024, -1, 1 << 60, (1 << 87) - 1])
@pytest.mark.parametrize("before", [0, 1])
def test_sizes_that_no_member_has(tmp_path: Path, size: int, before: int):
    """A member of less than nothing would be read again and again."""
    written = (b"\xff" if size < 0 else b"\x80") + size.to_bytes(11, signed=True)
    start = header(b"first.png", b"00000000010\0") + b"12345678".ljust(BLOCK, b"\0")
    (tmp_path / "a.tar").write_bytes(start * before + header(b"a.png", written) + bytes(4 * BLOCK))
    with pytest.raises((CutOff, Refused)):
        open_source(str(tmp_path / "a.tar"))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"S"])
@pytest.mark.parametrize("size", [-512, 40 << 30, 1 << 62])
@pytest.mark.parametrize("before", [0, 1])
def test_headers_that_claim_to_be_long(tmp_path: Path, kind: bytes, size: int, before: int):
    """tarfile would make room for all of it."""
    written = (b"\xff" if size < 0 else b"\x80") + size.to_bytes(11, signed=True)
    start = header(b"first.png", b"00000000010\0") + b"12345678".ljust(BLOCK, b"\0")
    (tmp_path / "a.tar").write_bytes(start * before + header(b"a.png", written, kind) + bytes(4 * BLOCK))
    with pytest.raises((CutOff, Refused)):
        open_source(str(tmp_path / "a.tar"))


def test_a_header_as_made_here_is_a_good_one(tmp_path: Path):
    (tmp_path / "a.tar").write_bytes(header(b"a.png", b"00000000010\0") + b"12345678".ljust(BLOCK, b"\0") + bytes(1024))
    assert read(open_source(str(tmp_path / "a.tar"))) == [("a.png", b"12345678")]
