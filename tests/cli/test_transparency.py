"""Transparency of every PNG: all colour types and depths, with and without tRNS, against the standard's own rules."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from vtc_cli.pictures import open_picture

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
ALL = [(kind, depth) for kind, depths in DEPTHS.items() for depth in depths]
WHITE = 255


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: np.ndarray, kind: int, depth: int, *extra: bytes) -> bytes:
    """(height, width, channels) as a file: no filter, no interlacing."""
    height, width, _ = samples.shape
    rows = b""
    for row in samples.reshape(height, -1):
        if depth == 16:
            packed = row.astype(">u2").tobytes()
        else:
            bits = (row[:, None] >> np.arange(depth)[::-1]) & 1
            packed = np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()
        rows += b"\0" + packed
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def samples_of(kind: int, depth: int) -> np.ndarray:
    """Few values, so that they come again, and neighbours in the lowest bit and in the low byte alone."""
    top = (1 << depth) - 1
    values = np.array(sorted({0, 1, top // 2, top // 2 + 1, max(top - 1, 0), top, 0x1234 & top, 0x1235 & top}))
    return values[np.random.default_rng(depth + 10 * kind).integers(0, len(values), (7, 13, CHANNELS[kind]))]


def expected(samples: np.ndarray, depth: int, alpha: np.ndarray) -> np.ndarray:
    """On white, in numbers from 0 to 255: PNG (third edition), 12.4 and 13.16, with a linear alpha from 0 to 1."""
    colors = np.broadcast_to(samples / ((1 << depth) - 1), (*samples.shape[:2], 3))
    return 255 * (alpha[..., None] * colors + (1 - alpha[..., None]))


def read(path: Path, data: bytes) -> np.ndarray:
    path.write_bytes(data)
    image = open_picture(path)
    assert image.mode == "RGB"
    return np.asarray(image).astype(float)


def test_every_kind_is_here():
    assert len(ALL) == 15


@pytest.mark.parametrize(("kind", "depth"), ALL)
def test_without_a_transparent_colour(tmp_path: Path, kind: int, depth: int):
    samples = samples_of(kind, depth)
    top = (1 << depth) - 1
    if kind == PALETTE:
        palette = np.random.default_rng(0).integers(0, 256, (top + 1, 3), dtype=np.uint8)
        made = read(tmp_path / "a.png", png(samples, kind, depth, chunk(b"PLTE", palette.tobytes())))
        np.testing.assert_array_equal(made, palette[samples[..., 0]])
        return
    has_alpha = kind in (GREY_ALPHA, RGBA)
    alpha = samples[..., -1] / top if has_alpha else np.ones(samples.shape[:2])
    colors = samples[..., :-1] if has_alpha else samples
    made = read(tmp_path / "a.png", png(samples, kind, depth))
    np.testing.assert_allclose(
        made, expected(colors, depth, alpha), atol=1.01
    )  # 16 bits: high bytes, each rounded down


@pytest.mark.parametrize(("kind", "depth"), [(kind, depth) for kind, depth in ALL if kind in (GREY, RGB)])
def test_a_transparent_colour_is_white_and_its_neighbours_are_not(tmp_path: Path, kind: int, depth: int):
    samples = samples_of(kind, depth)
    for place in ((0, 0), (3, 5), (6, 12)):
        color = samples[place]
        clear = (samples == color).all(-1)
        data = png(samples, kind, depth, chunk(b"tRNS", color.astype(">u2").tobytes()))
        made = read(tmp_path / "a.png", data)
        assert (made[clear] == WHITE).all()
        np.testing.assert_allclose(made, expected(samples, depth, ~clear), atol=1.01)


@pytest.mark.parametrize("kind", [GREY, RGB])
def test_16_bits_are_compared_as_16_bits(tmp_path: Path, kind: int):
    samples = np.array([[[0x1234], [0x1235], [0x0012], [0x3412]]]).repeat(CHANNELS[kind], axis=-1)
    for place, color in enumerate((0x1234, 0x1235, 0x0012, 0x3412)):
        transparent = chunk(b"tRNS", struct.pack(">H", color) * CHANNELS[kind])
        made = read(tmp_path / "a.png", png(samples, kind, 16, transparent))[0]
        assert [(pixel == WHITE).all() for pixel in made] == [i == place for i in range(4)]


@pytest.mark.parametrize("depth", DEPTHS[PALETTE])
@pytest.mark.parametrize("alphas", [[0], [255, 0], [128, 7, 255]])
def test_a_palette_with_alpha(tmp_path: Path, depth: int, alphas: list[int]):
    samples = samples_of(PALETTE, depth)
    palette = np.random.default_rng(1).integers(0, 256, (1 << depth, 3), dtype=np.uint8)
    alphas = alphas[: 1 << depth]
    data = png(samples, PALETTE, depth, chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", bytes(alphas)))
    alpha = np.array([*alphas, *[255] * 256])[samples[..., 0]] / 255  # what tRNS leaves out is opaque
    wanted = expected(palette[samples[..., 0]], 8, alpha)
    np.testing.assert_allclose(read(tmp_path / "a.png", data), wanted, atol=0.51)


def test_an_interlaced_one_of_16_bits(tmp_path: Path):
    """One pixel is the first pass of Adam7 alone, so its file is that of an uninterlaced one."""
    data = png(np.array([[[0x1234, 0x1234, 0x1234]]]), RGB, 16, chunk(b"tRNS", b"\x12\x34" * 3))
    header = struct.pack(">IIBBBBB", 1, 1, 16, RGB, 0, 0, 1)
    data = data.replace(chunk(b"IHDR", header[:-1] + b"\0"), chunk(b"IHDR", header))
    assert read(tmp_path / "a.png", data).tolist() == [[[WHITE] * 3]]
