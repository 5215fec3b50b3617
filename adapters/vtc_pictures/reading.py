"""Picture files: whatever cameras, scanners and editors write, as the 8-bit RGB that image processors expect."""

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Shaped
from PIL import ExifTags, Image

from .kinds import HEAD, formats, kind_of, refusal
from .opening import open_file
from .remarks import without_remarks
from .transparency import Key
from .unreadable import Unreadable

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # 178,956,970: where Pillow itself takes a file for an attack
MAX_BYTES = 1 << 30  # of a file: some decoders read all of it at once
MAX_ASPECT = 100  # image processors scale the short side up to 336: a hair's breadth would become gigabytes

T = TypeVar("T")

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_picture(file: io.BufferedIOBase, least: int = 0) -> Image.Image:
    """The picture in an open file: upright (EXIF), on white where it is transparent, 16 bits scaled to 8.

    Args:
        least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, if no side gets shorter than this; 0: whole.

    Raises:
        Unreadable: not a picture, damaged, or absurdly large.
    """
    return _tried_twice(partial(_read, least=least), file)


def read_file(path: str | os.PathLike[str]) -> Image.Image:
    """`read_picture` of the file of this name.

    Raises:
        Unreadable, OSError: as `open_file`, too.
    """
    with open_file(path) as file:
        return read_picture(file)


def count_pixels(file: io.BufferedIOBase) -> int:
    """Of the picture that `read_picture` would read, by its header alone.

    Raises:
        Unreadable: as far as the header tells.
    """
    return _tried_twice(_count, file)


def _tried_twice(read: Callable[[io.BufferedIOBase], T], file: io.BufferedIOBase) -> T:
    try:
        return read(file)
    except Unreadable:
        plain = without_remarks(file) if count_bytes(file) <= MAX_BYTES else None
        if plain is None:
            raise
        return read(plain)
    finally:
        file.seek(0)


def _read(file: io.BufferedIOBase, least: int) -> Image.Image:
    with _opened(file) as image:
        if least:
            image.draft(None, (least, least))  # type: ignore[arg-type]  # None: the mode stays
        key = Key(image)
        image.load()
        clear = key.mask(image, file)
        picture = to_rgb(image)
        if clear is not None:
            picture.paste("white", (0, 0), Image.fromarray(clear))
        turn = _turn(image)
        return picture if turn is None else picture.transpose(turn)


def _count(file: io.BufferedIOBase) -> int:
    with _opened(file) as image:
        return image.width * image.height


def count_bytes(file: io.BufferedIOBase) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


@contextmanager
def _opened(file: io.BufferedIOBase) -> Iterator[Image.Image]:
    """The file's header read, its pixels not yet; whatever is raised while they are becomes `Unreadable`."""
    if not (size := count_bytes(file)):
        raise Unreadable("is empty (0 bytes)")
    if size > MAX_BYTES:
        raise Unreadable(f"is absurdly large: {size:,} bytes, and {MAX_BYTES:,} are the limit")
    try:
        with warnings.catch_warnings():  # Pillow's remarks on size and metadata: what matters is refused below
            warnings.simplefilter("ignore")
            with Image.open(file, formats=formats()) as image:  # type: ignore[arg-type]
                _check_size(image)
                yield image
    except Image.DecompressionBombError as error:
        raise Unreadable(f"is absurdly large: more than {MAX_PIXELS:,} pixels, the limit") from error
    except Image.UnidentifiedImageError as error:
        raise Unreadable(_unidentified(file)) from error
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise Unreadable(f"is damaged or truncated ({error})") from error


def _unidentified(file: io.BufferedIOBase) -> str:
    file.seek(0)
    kind = kind_of(file.read(HEAD))
    return refusal(kind) if kind else "is not a picture that can be read (PNG, JPEG, WebP, ...)"


def _check_size(image: Image.Image) -> None:
    short, long = sorted(image.size)
    if long > MAX_ASPECT * short:
        size = f"{image.width} x {image.height} pixels"
        raise Unreadable(f"is {size}: one side may be at most {MAX_ASPECT} times the other")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What sets a decoded picture upright; metadata that is broken says nothing about the pixels."""
    if image.format == "TIFF":  # Pillow has turned it as it was decoded
        return None
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as with pixels, its readers raise nearly anything
        return None


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of a picture in any of Pillow's modes."""
    if image.mode == "I" or image.mode.startswith("I;16"):  # older Pillow reads 16-bit PNG as 32-bit "I"
        return _gray(np.asarray(image), full_scales=(65535,))
    if image.mode == "F":
        return _gray(np.asarray(image), full_scales=(1, 255, 65535))
    palette = image.palette.mode if image.mode == "P" and image.palette else ""
    if image.mode[-1] in "Aa" or palette.endswith("A") or "transparency" in image.info:
        seen = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(seen, (0, 0), seen.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _gray(values: Shaped[np.ndarray, "height width"], full_scales: tuple[int, ...]) -> Image.Image:
    """Scale by the first usual full scale that holds the values, and by their own range when none does: no clipping."""
    finite = values.astype(np.float32)  # from here on in place: a large picture has few copies
    finite[~np.isfinite(finite)] = 0
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    full = high if low < 0 else next((scale for scale in full_scales if high <= scale), high)
    finite -= low
    finite /= full - low
    finite *= 255
    return Image.fromarray(finite.round(out=finite).astype(np.uint8)).convert("RGB")
