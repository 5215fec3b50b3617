"""The family `llava_next_video`: pictures as in `llava_next`; the frames of a video are pooled 2 x 2, then projected.

Scores are pooled as features are, `keep` counts pooled tokens: all there are of a frame, if it has no more than `keep`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from transformers import LlavaNextVideoForConditionalGeneration

from . import llava_next
from .family import Family
from .geometry import Layout, frames, side_of


def layouts(config: Any, image_processor: Any = None) -> Mapping[str, Callable[..., Layout]]:
    side = side_of(config)
    return {**llava_next.layouts(config, image_processor), "video": partial(frames, side=side, pooled=side // 2)}


def check(config: Any) -> None:
    mode, stride, side = config.spatial_pool_mode, config.spatial_pool_stride, side_of(config)
    if (mode, stride, side % 2) != ("average", 2, 0):
        raise ValueError(
            "frames must be pooled by spatial_pool_mode 'average', spatial_pool_stride 2, from an even number of "
            f"patches a side (what the stock processor counts with), got {mode!r}, {stride}, {side}"
        )


TOWERS = {"image": "vision_tower", "video": "vision_tower"}
FAMILY = Family(LlavaNextVideoForConditionalGeneration, TOWERS, layouts, check=check)
