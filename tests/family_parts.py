"""What the small models of all families are made of: words, weights, and videos.

The stock video processors need torchvision, which is not among the tests' requirements: `Frames` stands in for them.
"""

from functools import partial
from typing import Any

import numpy as np
import small_models
import torch
from small_models import WORDS, make_llava, make_processor
from transformers import BatchFeature
from transformers.processing_utils import VideosKwargs

VOCABULARY = [*WORDS, "<video>", "<img>", "</img>", "Frame1:", "Frame2:", "Frame3:"]
IMAGE, VIDEO = WORDS.index("<image>"), len(WORDS)
text_config = partial(small_models.text_config, vocab_size=len(VOCABULARY))


def make(model_class: type, config_class: type, **settings: Any) -> Any:
    """A model of 36 (SigLIP: 25) patch tokens a tile, whose answers depend on what it sees."""
    return make_llava(model_class, config_class, **{"text_config": text_config(), **settings})


def tokenizer() -> Any:
    made = make_processor().tokenizer
    made.add_tokens(VOCABULARY[len(WORDS) :], special_tokens=True)
    return made


class Frames:
    """(frames, side, side, channels) bytes to pixel_values_videos, normalised, no resizing."""

    model_input_names = ("pixel_values_videos",)
    valid_kwargs = VideosKwargs

    def __call__(self, videos: Any, **kwargs: Any) -> BatchFeature:
        clips = [np.asarray(video) for video in (videos if isinstance(videos, list) else [videos])]
        pixels = torch.tensor(np.stack(clips)).permute(0, 1, 4, 2, 3) / 127.5 - 1
        return BatchFeature({"pixel_values_videos": pixels})


def with_frames(processor_class: type) -> type:
    """A stock processor that takes `Frames`: it checks for classes that cannot be imported without torchvision."""
    check = {"check_argument_for_proper_class": lambda self, name, argument: type(argument)}
    return type(processor_class.__name__, (processor_class,), check)
