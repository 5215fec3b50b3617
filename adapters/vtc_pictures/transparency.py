"""PNG's other transparency (tRNS of grey and of true colour): one colour, at the file's own depth, is transparent."""

import io
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

# Pillow's name for a PNG's samples -> what it multiplies them by, and their bits.
SAMPLES = {
    "1": (255, 1),
    "L;2": (85, 2),
    "L;4": (17, 4),
    "L": (1, 8),
    "I;16B": (1, 16),
    "RGB": (1, 8),
    "RGB;16B": (1, 16),
}


class Key:
    """The transparent colour of an opened PNG that is not yet decoded, if it has one."""

    def __init__(self, image: Image.Image) -> None:
        tiles: Any = getattr(image, "tile", None)
        self.samples: str = tiles[0][3] if image.format == "PNG" and tiles else ""
        self.color: Any = image.info.get("transparency") if self.samples in SAMPLES else None

    def mask(self, image: Image.Image, file: io.BufferedIOBase) -> Bool[np.ndarray, "height width"] | None:
        """Where the picture, decoded by now from `file`, is transparent. What Pillow would take for it is removed."""
        if self.color is None:
            return None
        image.info.pop("transparency", None)  # it compares samples of 8 bits
        factor, bits = SAMPLES[self.samples]
        color = np.asarray(self.color) % (1 << bits) if bits > 1 else np.asarray(bool(self.color), int)
        if self.samples == "RGB;16B":  # of which Pillow keeps the high bytes
            return ((np.asarray(image) == color >> 8) & (_low_bytes(file) == color % 256)).all(axis=-1)
        same = np.asarray(image.convert("L") if bits == 1 else image) == color * factor
        return same.all(axis=-1) if same.ndim == 3 else same


def _low_bytes(file: io.BufferedIOBase) -> np.ndarray:
    """Of 16-bit samples, by decoding them again, as if their bytes were the other way round."""
    file.seek(0)
    with Image.open(file, formats=("PNG",)) as image:  # type: ignore[arg-type]
        opened: Any = image
        opened.tile = [(*tile[:3], "RGB;16L") for tile in opened.tile]
        return np.asarray(image)
