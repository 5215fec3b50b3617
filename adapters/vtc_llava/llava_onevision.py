"""The family `llava_onevision`: SigLIP, so that `signal="received"` is needed; pictures in tiles, and videos.

- A picture alone in its prompt is a base tile and a grid of tiles, as in `llava_next`; a grid of more tokens than the N
  tiles of `vision_aspect_ratio="anyres_max_N"` have is shrunk, after the projector. What competes then are tokens of
  the shrunken grid, each scored by the blend of the scores of the tokens of which it is the blend.
- Of several pictures in a prompt each is one tile.
- Frames of a video are shrunk to half their side, after the projector.
- Newline tokens after rows and pictures are dropped unless everything is kept; the one after a video never is.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from transformers import LlavaOnevisionForConditionalGeneration, LlavaOnevisionModel

from .family import Family
from .geometry import Layout, anyres, frames, side_of

ANYRES = "anyres_max_"


def layouts(config: Any, image_processor: Any = None) -> Mapping[str, Callable[..., Layout]]:
    side = side_of(config)
    tiles = {
        "side": side,
        "image_size": config.vision_config.image_size,
        "pinpoints": tuple(map(tuple, config.image_grid_pinpoints)),
        "max_tiles": int(config.vision_aspect_ratio.removeprefix(ANYRES)),
    }
    video = partial(frames, side=side, pooled=-(-side // 2), end=True)
    return {"image": partial(anyres, **tiles), "video": video}


def check(config: Any) -> None:
    if not re.fullmatch(rf"{ANYRES}\d+", config.vision_aspect_ratio):
        raise ValueError(f"vision_aspect_ratio must be '{ANYRES}N', got {config.vision_aspect_ratio!r}")


TOWERS = {"image": "vision_tower", "video": "vision_tower"}
BEFORE_5_18 = "mm_encoder_outputs" not in inspect.signature(LlavaOnevisionModel.forward).parameters
FAMILY = Family(
    LlavaOnevisionForConditionalGeneration,
    TOWERS,
    layouts,
    blend_projected=True,
    forward_ends_videos=BEFORE_5_18,
    check=check,
)
