"""The family `llava_next`: LLaVA-NeXT (1.6), whose pictures are a base tile and a grid of tiles (anyres)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from transformers import LlavaNextForConditionalGeneration

from .family import Family
from .geometry import Layout, anyres, side_of


def layouts(config: Any, image_processor: Any = None) -> Mapping[str, Callable[..., Layout]]:
    pinpoints = tuple(map(tuple, config.image_grid_pinpoints))
    size = config.vision_config.image_size
    return {"image": partial(anyres, side=side_of(config), image_size=size, pinpoints=pinpoints)}


FAMILY = Family(LlavaNextForConditionalGeneration, {"image": "vision_tower"}, layouts)
