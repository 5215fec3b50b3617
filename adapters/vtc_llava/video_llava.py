"""The family `video_llava`: a tower for pictures and one for videos; a picture is one tile.

The stock model drops CLS from pictures but feeds that of every frame. So does the patched one: the CLS of a frame comes
before its patches, whatever the budget, and is not counted in it: with `keep` a frame costs keep + 1 tokens, with
`total` a video of f frames costs total + f.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from transformers import VideoLlavaForConditionalGeneration

from .family import Family
from .geometry import Layout, frames, one_tile, side_of


def layouts(config: Any, image_processor: Any = None) -> Mapping[str, Callable[..., Layout]]:
    side = side_of(config)
    return {"image": partial(one_tile, side=side), "video": partial(frames, side=side, cls=True)}


def check(config: Any) -> None:
    if config.vision_config.model_type != "clip_vision_model":
        raise ValueError("the towers of 'video_llava' must have CLS: it feeds that of every frame")


TOWERS = {"image": "image_tower", "video": "video_tower"}
FAMILY = Family(VideoLlavaForConditionalGeneration, TOWERS, layouts, stacked=True, check=check)
