from typing import Any

from PIL import Image
from small_models import picture


def pictures(doc: dict[str, Any]) -> list[Image.Image]:
    return [picture(seed, *size) for seed, size in enumerate(doc["sizes"], doc["seed"])]


def turned(doc: dict[str, Any]) -> list[Image.Image]:
    return [shown.transpose(Image.Transpose.ROTATE_90) for shown in pictures(doc)]
