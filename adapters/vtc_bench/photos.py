"""Pictures that cost as much to send and to decode as photos do."""

import io

import numpy as np
from PIL import Image


def photo(seed: int, width: int = 640, height: int = 480) -> bytes:
    """A JPEG, of 640 x 480 pixels about 100 KB: smooth colours with noise. Another for every seed."""
    rng = np.random.default_rng(seed)
    return as_jpeg(Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height)), seed)


def as_jpeg(image: Image.Image, seed: int) -> bytes:
    """With noise, as a camera adds it."""
    noise = np.random.default_rng(seed).normal(0, 12, (image.height, image.width, 3))
    jpeg = io.BytesIO()
    Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)).save(jpeg, "JPEG", quality=85)
    return jpeg.getvalue()
