"""Metadata that is broken, in formats that carry it: the picture is good, and read."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtc_cli.errors import BadUsage
from vtc_cli.pictures import open_picture

ORIENTATION, X_RESOLUTION, EXIF_IFD, BYTE, SHORT, LONG, RATIONAL, SIGNED = 0x0112, 0x011A, 0x8769, 1, 3, 4, 5, 10
UPRIGHT, TURNED = (48, 32), (32, 48)


def exif(*entries: tuple[int, int, int, bytes], after: bytes = b"") -> bytes:
    """A little-endian TIFF block with one directory; `after` begins at byte 8 + 2 + 12 * entries + 4."""
    directory = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + after


TURN = (ORIENTATION, SHORT, 1, struct.pack("<HH", 6, 0))
AFTER_TWO = struct.pack("<I", 8 + 2 + 24 + 4)
TURNS_ANYWAY = {
    "a rational of -1 / 0": exif(TURN, (X_RESOLUTION, SIGNED, 1, AFTER_TWO), after=struct.pack("<ii", -1, 0)),
    "a rational beyond the end": exif(TURN, (X_RESOLUTION, RATIONAL, 1, struct.pack("<I", 1 << 30))),
    "an unknown type": exif(TURN, (X_RESOLUTION, 99, 1, bytes(4))),
    "a directory in itself": exif(TURN, (EXIF_IFD, LONG, 1, struct.pack("<I", 8))),
    "a directory beyond the end": exif(TURN, (EXIF_IFD, LONG, 1, struct.pack("<I", 1 << 31))),
    "text where a directory belongs": exif(TURN, (EXIF_IFD, 2, 4, b"abc\0")),
}
STAYS = {
    "noise": np.random.default_rng(0).bytes(200),
    "a header alone": b"II*\0",
    "four billion entries": b"II*\0\x08\0\0\0\xff\xff" + bytes(40),
    "an orientation of 9": exif((ORIENTATION, SHORT, 1, struct.pack("<HH", 9, 0))),
    "an orientation in words": exif((ORIENTATION, 2, 4, b"top\0")),
    "an orientation of 6 bytes": exif((ORIENTATION, BYTE, 4, b"\6\6\6\6")),
}


def photo(kind: str, data: bytes) -> bytes:
    ramp = np.linspace(0, 255, 48 * 32 * 3).reshape(32, 48, 3).astype(np.uint8)
    file = io.BytesIO()
    prefix = b"" if kind == "PNG" else b"Exif\0\0"
    Image.fromarray(ramp).save(file, kind, exif=prefix + data)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", TURNS_ANYWAY)
def test_the_orientation_counts_whatever_else_is_broken(tmp_path: Path, kind: str, name: str):
    (tmp_path / "a").write_bytes(photo(kind, TURNS_ANYWAY[name]))
    assert open_picture(tmp_path / "a").size == TURNED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", STAYS)
def test_an_orientation_that_is_none_turns_nothing(tmp_path: Path, kind: str, name: str):
    (tmp_path / "a").write_bytes(photo(kind, STAYS[name]))
    assert open_picture(tmp_path / "a").size == UPRIGHT


def tiff(*entries: tuple[int, int, int, bytes], after: bytes = b"") -> bytes:
    """A grey picture of 3 x 2 pixels, with tags that are no business of its pixels."""

    def short(tag: int, value: int) -> tuple[int, int, int, bytes]:
        return tag, SHORT, 1, struct.pack("<HH", value, 0)

    count = 9 + len(entries)
    start = 8 + 2 + 12 * count + 4
    place = struct.pack("<I", start + 6)
    tags = [
        short(256, 3), short(257, 2), short(258, 8), short(259, 1), short(262, 1),
        (273, LONG, 1, struct.pack("<I", start)), short(277, 1), short(278, 2), (279, LONG, 1, struct.pack("<I", 6)),
        *((tag, kind, many, place if value == b"AFTER" else value) for tag, kind, many, value in entries),
    ]  # fmt: skip
    return exif(*sorted(tags), after=bytes(range(0, 60, 10)) + after)


@pytest.mark.parametrize(
    ("entries", "after"),
    [
        ([], b""),
        ([(X_RESOLUTION, SIGNED, 1, b"AFTER")], struct.pack("<ii", -1, 0)),
        ([(EXIF_IFD, LONG, 1, struct.pack("<I", 1 << 31))], b""),
        ([(EXIF_IFD, LONG, 1, b"AFTER")], struct.pack("<HHHI", 1, 0x9003, 2, 1 << 30) + bytes(8)),
        ([(EXIF_IFD, 2, 4, b"abc\0")], b""),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_tiff(tmp_path: Path, entries: list[tuple[int, int, int, bytes]], after: bytes, turned: bool):
    (tmp_path / "a.tif").write_bytes(tiff(*entries, *[TURN] * turned, after=after))
    pixels = np.asarray(open_picture(tmp_path / "a.tif"))[..., 0]
    stored = np.arange(0, 60, 10).reshape(2, 3)
    np.testing.assert_array_equal(pixels, np.rot90(stored, -1) if turned else stored)


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "broken",
    [
        chunk(b"tEXt", b"Comment\0of a camera", crc=7),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20))),  # more than Pillow unpacks
        chunk(b"zTXt", b"Comment\0\0not compressed"),
        chunk(b"zTXt", b"Comment\0\x07" + zlib.compress(b"an unknown method")),
        chunk(b"iTXt", b"no end"),
        chunk(b"iCCP", b"profile\0\0" + b"not compressed"),
        chunk(b"iCCP", b"profile\0\x07" + zlib.compress(b"x")),
        chunk(b"pHYs", b"\0"),
        chunk(b"gAMA", b""),
        chunk(b"cHRM", b"\0\0\0\1"),
        chunk(b"sRGB", b""),
        chunk(b"eXIf", b"II"),
        chunk(b"eXIf", b"II", crc=7),
    ],
)
def test_a_png_among_broken_chunks(tmp_path: Path, broken: bytes, after: bool):
    whole = photo("PNG", TURNS_ANYWAY["an unknown type"])
    header = 8 + 25
    (tmp_path / "b.png").write_bytes(whole)
    if after:
        (tmp_path / "a.png").write_bytes(whole[:-12] + broken + whole[-12:])
    else:
        (tmp_path / "a.png").write_bytes(whole[:header] + broken + whole[header:])
    made = open_picture(tmp_path / "a.png")
    if b"eXIf" not in broken:
        assert made.size == TURNED
        np.testing.assert_array_equal(made, open_picture(tmp_path / "b.png"))


def test_pixels_that_are_broken_are_not_excused(tmp_path: Path):
    whole = photo("PNG", b"II*\0")
    for spoiled in (whole.replace(b"IDAT", b"IDAX"), whole[: len(whole) // 2], whole[:60] + b"\0\0" + whole[62:]):
        (tmp_path / "a.png").write_bytes(spoiled)
        with pytest.raises(BadUsage, match="damaged"):
            open_picture(tmp_path / "a.png")
