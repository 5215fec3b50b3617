"""A checkpoint's image processor, held to its tower before a picture is there: of its size, in finite numbers."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from transformers.models.auto.image_processing_auto import AutoImageProcessor  # 5.16's other name needs torchvision

from .configuration import UNTRUSTED, as_data
from .towers import sides

LARGEST = 8  # times the tower's side: as far as any setting may go. LLaVA-OneVision's largest grids take 6
WIDEST = 8192  # pixels, whatever the configuration says of the side where there are no weights to hold it to
_SIDES = ("height", "width", "shortest_edge", "longest_edge", "max_height", "max_width")


def read_image_processor(path_or_hub_id: str, vision_config: Any, **kwargs: Any) -> Any:
    """The image processor of a checkpoint; ValueError where it does not fit a tower of this configuration."""
    with as_data(path_or_hub_id):
        processor = AutoImageProcessor.from_pretrained(path_or_hub_id, **UNTRUSTED, **kwargs)
    check_image_processor(processor, vision_config, path_or_hub_id)
    return processor


def check_image_processor(processor: Any, vision_config: Any, name: str) -> None:
    """A ValueError for settings that ask for huge pictures, or make of a white one what the tower does not take."""
    (side, patch), channels = sides(vision_config), vision_config.num_channels
    whose, most = f"the image processor of {name}", min(LARGEST * side, WIDEST)
    for key, value in _sides(processor):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(
                f"{key} of {whose} must be an integer in [1, {most}] ({LARGEST} times vision_config.image_size, {side}"
                f", {WIDEST} at most), got {value!r}"
            )
    white = np.full((48, 64, 3), 255, np.uint8)
    settings = {key: getattr(processor, key, None) for key in ("image_mean", "image_std", "rescale_factor")}
    try:
        with np.errstate(all="ignore"):
            made = processor(images=white, return_tensors="np")
            pixels = np.asarray(made.get("pixel_values", made.get("pixel_values_images")))  # Video-LLaVA's, to 5.23
    except Exception as error:  # whatever odd settings do in transformers, NumPy or Pillow
        raise ValueError(f"{whose} fails ({type(error).__name__}: {error}), with {_spelled(settings)}") from error
    if pixels.ndim < 3 or pixels.shape[-3] != channels:
        raise ValueError(f"{whose} makes arrays {pixels.shape}, and vision_config.num_channels is {channels}")
    height, width = pixels.shape[-2:]
    if (height // patch, width // patch) != (side // patch, side // patch):
        raise ValueError(f"{whose} makes {height} x {width} pixels, and vision_config.image_size is {side}")
    if not np.isfinite(pixels).all():
        raise ValueError(f"{whose} makes numbers of white that are not finite, with {_spelled(settings)}")


def _sides(processor: Any) -> Iterator[tuple[str, Any]]:
    """All that an image may be resized, cropped or padded to, in pixels."""
    for setting in ("size", "crop_size", "pad_size"):
        held = getattr(processor, setting, None)
        for key, value in dict(held or {}).items():  # a `SizeDict` of transformers', or one as it was written
            if value is not None:
                yield f"{setting}.{key}", value if key in _SIDES else f"{value!r} under a key that is not known"
    for pinpoint in getattr(processor, "image_grid_pinpoints", None) or ():
        yield from (("image_grid_pinpoints", value) for value in pinpoint)


def _spelled(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
