"""A picture's pixel values: bit for bit those of the checkpoint's own image processor, for less."""

from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from transformers.image_transforms import get_resize_output_image_size
from transformers.image_utils import ChannelDimension


def pixel_values(processor: Any, image: Image.Image) -> Tensor:
    """(channels height width), or with one more axis where a processor makes tiles.

    transformers makes an array of the whole picture, and a picture of that again, to have Pillow resize it. Pillow may
    as well resize what it decoded.
    """
    size = target(processor, *image.size)
    more = {}
    if size is not None:
        image, more = image.resize((size[1], size[0]), processor.resample), {"do_resize": False}
    return processor(images=image, return_tensors="pt", input_data_format="channels_last", **more)["pixel_values"][0]


def target(processor: Any, width: int, height: int) -> tuple[int, int] | None:
    """Height and width that a processor resizes a picture to; None where it is to do that itself."""
    size = {key: value for key, value in dict(processor.size).items() if value is not None}
    if not processor.do_resize or getattr(processor, "image_grid_pinpoints", None):
        return None
    if size.keys() == {"height", "width"}:
        return size["height"], size["width"]
    if size.keys() == {"shortest_edge"}:
        picture = np.broadcast_to(np.uint8(0), (3, height, width))  # of which only the shape is asked
        size = get_resize_output_image_size(
            picture, size["shortest_edge"], default_to_square=False, input_data_format=ChannelDimension.FIRST
        )
        return size[0], size[1]
    return None
