"""The family `llava`: LLaVA-1.5, BakLLaVA and fine-tunes in the same form; a picture is one tile.

Any language model (Llama, Mistral, Qwen2, ...). Several feature layers are concatenated, all at the same kept indices.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from transformers import LlavaForConditionalGeneration

from .family import Family
from .geometry import Layout, one_tile, side_of


def layouts(config: Any, image_processor: Any = None) -> Mapping[str, Callable[..., Layout]]:
    return {"image": partial(one_tile, side=side_of(config))}


FAMILY = Family(LlavaForConditionalGeneration, {"image": "vision_tower"}, layouts, several=False)
