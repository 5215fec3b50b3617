"""`open_picture` on every kind of file that cameras, scanners and editors write, and on files that are none."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vtc_cli.errors import BadUsage
from vtc_cli.pictures import check_out, open_picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def opened(path: Path) -> list[list[tuple[int, int, int]]]:
    image = open_picture(path)
    assert image.mode == "RGB"
    return [[tuple(pixel) for pixel in row] for row in np.asarray(image).tolist()]


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def rgb(*rows: list[tuple[int, int, int]]) -> Image.Image:
    return Image.fromarray(np.array(rows, np.uint8))


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.gif", "a.tiff", "no-suffix"])
def test_lossless_formats_come_back_as_they_are(tmp_path: Path, name: str):
    kind = {"a.webp": "WEBP", "no-suffix": "PNG"}.get(name)
    options = {"lossless": True} if kind == "WEBP" else {}
    path = saved(tmp_path / name, rgb([RED, GREEN], [BLUE, WHITE]), format=kind, **options)
    assert opened(path) == [[RED, GREEN], [BLUE, WHITE]]


def test_jpeg(tmp_path: Path):
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (16, 16), RED), quality=100)
    assert np.abs(np.asarray(open_picture(path)).astype(int) - RED).max() <= 2


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_exif_rotation_turns_the_picture(tmp_path: Path, name: str):
    """Orientation 6, a phone held upright: what is stored on the left belongs on top."""
    stored = Image.new("RGB", (32, 16), BLUE)
    stored.paste(RED, (0, 0, 16, 16))  # red on the left half
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.asarray(open_picture(saved(tmp_path / name, stored, exif=exif.tobytes()))).astype(int)
    assert upright.shape == (32, 16, 3)
    assert np.abs(upright[4, 8] - RED).max() <= 4
    assert np.abs(upright[28, 8] - BLUE).max() <= 4


def test_16_bit_rotates_too(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.array([[0, 65535]], np.uint16))
    assert opened(saved(tmp_path / "a.png", image, exif=exif.tobytes())) == [[(0, 0, 0)], [WHITE]]


def test_transparent_is_white(tmp_path: Path):
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(rgba))
    assert opened(path) == [[RED, WHITE, (127, 127, 127)]]


def test_gray_with_alpha(tmp_path: Path):
    path = saved(tmp_path / "a.png", Image.fromarray(np.array([[[7, 255], [7, 0]]], np.uint8), mode="LA"))
    assert opened(path) == [[(7, 7, 7), WHITE]]


@pytest.mark.parametrize("transparent", [False, True])
def test_palette(tmp_path: Path, transparent: bool):
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    options = {"transparency": 0} if transparent else {}
    path = saved(tmp_path / "a.png", image, **options)
    assert opened(path) == [[WHITE if transparent else RED, GREEN]]


def test_gray_and_black_and_white(tmp_path: Path):
    assert opened(saved(tmp_path / "l.png", Image.fromarray(np.array([[0, 100]], np.uint8)))) == [
        [(0, 0, 0), (100, 100, 100)]
    ]
    assert opened(saved(tmp_path / "1.png", Image.fromarray(np.array([[False, True]])))) == [[(0, 0, 0), WHITE]]


def test_cmyk(tmp_path: Path):
    path = saved(tmp_path / "a.tiff", Image.new("CMYK", (1, 1), (0, 255, 255, 0)))  # no cyan, all magenta and yellow
    assert opened(path) == [[RED]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 257, 32768, 65535]], np.uint16), [0, 1, 128, 255]),  # I;16: not cut off at 255
        (np.array([[0, 257, 32768, 65535]], np.int32), [0, 1, 128, 255]),  # I: 16-bit PNG in older Pillow
        (np.array([[0, 257, 25700]], np.uint16), [0, 1, 100]),  # a dark picture stays dark
        (np.array([[0, 257, 25700]], np.int32), [0, 1, 100]),
        (np.array([[0, 1 << 20, 1 << 21]], np.int32), [0, 128, 255]),  # I beyond 16 bits: by its own range
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),  # F from 0 to 1
        (np.array([[0, 100, 255]], np.float32), [0, 100, 255]),  # F from 0 to 255
        (np.array([[-1, 0, np.nan, 3]], np.float32), [0, 64, 64, 255]),  # F with less than nothing, and with nothing
        (np.zeros((1, 2), np.float32), [0, 0]),
    ],
)
def test_more_than_8_bits_are_scaled_not_clipped(tmp_path: Path, values: np.ndarray, expected: list[int]):
    path = saved(tmp_path / "a.tiff", Image.fromarray(values))
    assert opened(path) == [[(value, value, value) for value in expected]]


def test_16_bit_png(tmp_path: Path):
    path = saved(tmp_path / "a.png", Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)))
    assert opened(path) == [[(0, 0, 0), (128, 128, 128), WHITE]]


def refusal(path: Path) -> str:
    with pytest.raises(BadUsage) as caught:
        open_picture(path)
    return str(caught.value).removeprefix(str(path))


def test_files_that_are_no_pictures(tmp_path: Path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not at all a picture")
    assert refusal(tmp_path / "nowhere.png") == " is not there"
    assert refusal(tmp_path / "text.png" / "below") == " is not there"
    assert refusal(tmp_path) == " is a folder, not a picture"
    assert refusal(tmp_path / "empty.png") == " is empty (0 bytes)"
    assert refusal(tmp_path / "text.png") == " is not a picture that can be read (PNG, JPEG, WebP, ...)"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_file(tmp_path: Path, kind: str):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path / "cut", Image.fromarray(noise), format=kind)
    assert open_picture(path).size == (64, 64)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refusal(path).startswith(" is damaged or truncated (")


def test_an_absurdly_large_picture_is_refused_by_its_header(tmp_path: Path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))))
    assert refusal(tmp_path / "bomb.png") == " is absurdly large: more than 178,956,970 pixels, the limit"


def test_a_hair_is_refused(tmp_path: Path):
    path = saved(tmp_path / "hair.png", Image.new("RGB", (1001, 10)))
    assert refusal(path) == " is 1001 x 10 pixels: one side may be at most 100 times the other"
    assert open_picture(saved(path, Image.new("RGB", (1000, 10)))).size == (1000, 10)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def denied(path: Path) -> None:  # a test that runs as root can read everything
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.stat", denied)
    assert refusal(tmp_path / "a.png") == " cannot be read: permission denied"


def test_places_where_no_picture_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "folder.png").mkdir()
    for path, why in [
        (tmp_path / "a.jpg", " must end in .png"),
        (tmp_path / "folder.png", " is a folder"),
        (tmp_path / "nowhere" / "a.png", f": there is no folder {tmp_path / 'nowhere'}"),
    ]:
        with pytest.raises(BadUsage) as caught:
            check_out(path)
        assert str(caught.value) == f"--out {path}{why}"
    check_out(tmp_path / "a.png")
    check_out(Path("a.png"))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(BadUsage, match="cannot be written: permission denied"):
        check_out(tmp_path / "a.png")
