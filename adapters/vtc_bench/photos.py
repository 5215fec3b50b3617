"""Pictures that cost as much to send and to decode as photos do."""

import io

import numpy as np
from PIL import Image


def photo(seed: int) -> bytes:
    """A JPEG of 640 x 480 pixels and about 100 KB: smooth colours with noise. Another for every seed."""
    rng = np.random.default_rng(seed)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((640, 480))
    noisy = np.asarray(smooth) + rng.normal(0, 12, (480, 640, 3))
    jpeg = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(jpeg, "JPEG", quality=85)
    return jpeg.getvalue()
