"""Seeded damage to pictures, tars and parquet files: a picture, or a reason; nothing else, and nothing large."""

import io
import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vtc_encode import Refused, open_source
from vtc_encode.sources import Source
from vtc_encode.tars import CutOff
from vtc_pictures import Unreadable, count_pixels, read_picture

MANY = int(os.environ.get("VTC_FUZZ", "40"))  # damaged files of each kind; more of them for a long run
MOST = 1 << 18  # pixels here: the true limit is slow to reach
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (24, 32, 4), dtype=np.uint8)
BLOCK = 512


def picture(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(NOISE).convert(mode) if mode != "I;16" else Image.fromarray(NOISE.view(np.uint16)[..., 0])
    image.save(file, kind, **options)  # pyright: ignore
    return file.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6
EXIF[0x010E] = "a description"
PICTURES: dict[str, Callable[[], bytes]] = {
    "png": lambda: picture("PNG", exif=EXIF.tobytes()),
    "png, palette": lambda: picture("PNG", "P", transparency=b"\0\x80\xff"),
    "png, 16 bits": lambda: picture("PNG", "I;16"),
    "png, alpha": lambda: picture("PNG", "LA"),
    "jpeg": lambda: picture("JPEG", exif=EXIF.tobytes()),
    "jpeg, progressive": lambda: picture("JPEG", "CMYK", progressive=True),
    "webp": lambda: picture("WEBP", "RGBA", lossless=True, exif=EXIF.tobytes()),
    "gif": lambda: picture("GIF", "P", transparency=3),
    "bmp": lambda: picture("BMP"),
    "tiff": lambda: picture("TIFF", exif=EXIF),
    "tiff, lzw": lambda: picture("TIFF", "RGBA", compression="tiff_lzw"),
    "tiff, jpeg": lambda: picture("TIFF", compression="jpeg"),
    "jpeg 2000": lambda: picture("JPEG2000"),
    "ppm": lambda: picture("PPM"),
    "tga": lambda: picture("TGA", "RGBA", compression="tga_rle"),
    "pcx": lambda: picture("PCX"),
    "ico": lambda: picture("ICO", "RGBA", sizes=[(16, 16)]),
    "dds": lambda: picture("DDS", "RGBA"),
    "sgi": lambda: picture("SGI"),
}


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, most of them where headers are; a piece left out, or there twice, or the end cut off."""
    made = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        end = min(len(made), 128) if rng.random() < 0.7 else len(made)
        made[rng.integers(end)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))])
    start, stop = sorted(rng.integers(0, len(made), 2))
    match rng.integers(6):
        case 0:
            del made[start:stop]
        case 1:
            made[start:start] = made[start:stop]
        case 2:
            del made[stop:]
    return bytes(made)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", MOST // 2)


def read(file: io.BufferedIOBase) -> bool:
    """Whether it is a picture; nothing but `Unreadable` may say that it is not."""
    try:
        pixels = count_pixels(file)
        image = read_picture(file)
    except Unreadable:
        return False
    assert image.mode == "RGB"
    assert 0 < pixels <= MOST
    assert 0 < image.width * image.height <= MOST
    return True


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", PICTURES)
def test_pictures(kind: str):
    whole = PICTURES[kind]()
    assert read(io.BytesIO(whole))
    for seed in range(MANY):
        read(io.BytesIO(damaged(whole, np.random.default_rng(seed))))


def read_all(source: Source) -> int:
    """Of what a source lists: all of it, as a worker does. How many of them are pictures."""
    good = 0
    for found in source.read(0, source.count):
        found.id.encode()
        try:
            with found.open() as file:
                good += read(file)
        except Unreadable:
            pass
    return good


def tar(form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as made:
        for name, data in (
            ("a.png", PICTURES["png"]()),
            ("n" * 60 + "/" + "m" * 60 + ".gif", PICTURES["gif"]()),
            ("é.txt", b"text"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1.5
            made.addfile(info, io.BytesIO(data))
        for name, kind, target in (("b.png", tarfile.SYMTYPE, "a.png"), ("c.png", tarfile.LNKTYPE, "b.png")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            made.addfile(info)
        sparse = b"2\n0\n100\n2000\n200\n".ljust(BLOCK, b"\0") + PICTURES["bmp"]()[:300]
        info = tarfile.TarInfo("s.bmp")
        info.size = len(sparse)
        if form == tarfile.PAX_FORMAT:
            sizes = {"major": "1", "minor": "0", "realsize": "2500", "name": "s.bmp"}
            info.pax_headers = {f"GNU.sparse.{name}": value for name, value in sizes.items()}
        made.addfile(info, io.BytesIO(sparse))
    return file.getvalue()


def with_good_sums(data: bytes, rng: np.random.Generator) -> bytes:
    """One header field or pax record changed, and the checksum of its block mended: tarfile believes it."""
    made = bytearray(data)
    headers = [at for at in range(0, len(made) - BLOCK, BLOCK) if made[at + 257 : at + 262] == b"ustar"]
    at = int(rng.choice(headers))
    start, size = [(0, 100), (124, 12), (156, 1), (157, 100), (345, 155), (386, 24), (483, 12), (BLOCK, 60)][
        rng.integers(8)
    ]
    values = [b"\xff" * size, b"7" * size, b"\x80" + bytes(size - 1), bytes(size), rng.bytes(size), b"-1 ".ljust(size)]
    value = b"%c" % rng.choice(list(b"0123456gxKLSVDX")) if size == 1 else values[rng.integers(len(values))]
    made[at + start : at + start + size] = value[:size]
    made[at + 148 : at + 156] = b" " * 8
    made[at + 148 : at + 156] = b"%06o\0 " % (sum(made[at : at + BLOCK]) % (1 << 18))
    return bytes(made)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("spoil", [damaged, with_good_sums])
def test_tars(tmp_path: Path, form: int, spoil: Callable[[bytes, np.random.Generator], bytes]):
    whole, path = tar(form), tmp_path / "a.tar"
    path.write_bytes(whole)
    assert read_all(open_source(str(path))) >= 4
    for seed in range(2 * MANY):
        path.write_bytes(spoil(whole, np.random.default_rng(seed)))
        with suppress(Refused, CutOff):
            read_all(open_source(str(path)))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_parquet_files(tmp_path: Path, compression: str):
    """Damage to the file as a whole may end the run, in pyarrow's words: rows cannot be told from one another there."""
    path = tmp_path / "a.parquet"
    pictures = [{"bytes": PICTURES["png"](), "path": "a.png"}, {"bytes": None, "path": "b"}, None] * 3
    table = pa.table({"image": pictures, "id": [f"row {i}" for i in range(9)]})
    pq.write_table(table, path, compression=compression, row_group_size=4)
    whole = path.read_bytes()
    assert read_all(open_source(str(path))) == 3
    for seed in range(2 * MANY):
        rng = np.random.default_rng(seed)
        footer = bytearray(damaged(whole[-1500:-8], rng)) if seed % 2 else bytearray(whole[-1500:-8])
        body = whole[:-1500] if seed % 2 else damaged(whole[:-1500], rng)
        path.write_bytes(body + footer + whole[-8:])
        with suppress(Refused, pa.ArrowException, OSError):
            read_all(open_source(str(path)))
