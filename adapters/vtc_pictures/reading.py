"""Picture files: whatever cameras, scanners and editors write, as the 8-bit RGB that image processors expect."""

import io
import warnings

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageOps

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # 178,956,970: where Pillow itself takes a file for an attack
MAX_ASPECT = 100  # image processors scale the short side up to 336: a hair's breadth would become gigabytes


class Unreadable(ValueError):
    """Why a file holds no picture that can be used, in words that follow the file's name."""


def read_picture(file: io.BufferedIOBase) -> Image.Image:
    """The picture in an open file: upright (EXIF), on white where it is transparent, 16 bits scaled to 8.

    Raises:
        Unreadable: not a picture, damaged, or absurdly large.
    """
    try:
        with warnings.catch_warnings():  # Pillow's remarks on size and metadata: what matters is refused below
            warnings.simplefilter("ignore")
            with Image.open(file) as image:  # type: ignore[arg-type]
                _check_size(image)
                return to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise Unreadable(f"is absurdly large: more than {MAX_PIXELS:,} pixels, the limit") from error
    except Image.UnidentifiedImageError as error:
        if not file.seek(0, io.SEEK_END):
            raise Unreadable("is empty (0 bytes)") from error
        raise Unreadable("is not a picture that can be read (PNG, JPEG, WebP, ...)") from error
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise Unreadable(f"is damaged or truncated ({error})") from error


def _check_size(image: Image.Image) -> None:
    short, long = sorted(image.size)
    if long > MAX_ASPECT * short:
        size = f"{image.width} x {image.height} pixels"
        raise Unreadable(f"is {size}: one side may be at most {MAX_ASPECT} times the other")


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of a picture in any of Pillow's modes."""
    if image.mode == "I" or image.mode.startswith("I;16"):  # older Pillow reads 16-bit PNG as 32-bit "I"
        return _gray(np.asarray(image), full_scales=(65535,))
    if image.mode == "F":
        return _gray(np.asarray(image), full_scales=(1, 255, 65535))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _gray(values: Shaped[np.ndarray, "height width"], full_scales: tuple[int, ...]) -> Image.Image:
    """Scale by the first usual full scale that holds the values, and by their own range when none does: no clipping."""
    finite = np.where(np.isfinite(values), values, 0).astype(np.float32)
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    full = high if low < 0 else next((scale for scale in full_scales if high <= scale), high)
    return Image.fromarray(((finite - low) / (full - low) * 255).round().astype(np.uint8)).convert("RGB")
