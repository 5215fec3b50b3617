"""What `load` reads before gigabytes of weights: their headers, then the processor, each held to the configuration."""

import copy
import math
from typing import Any

import torch
from transformers import AutoProcessor

from vtc_core import checkpoints
from vtc_torch import held
from vtc_torch.configuration import UNTRUSTED, as_data
from vtc_torch.processors import check_image_processor

from .family import Family, check_processor

PACKED = 16  # numbers that a stored one can stand for, in a quantised checkpoint


def check_weights(family: Family, path_or_id: str, config: Any, **hub_kwargs: Any) -> None:
    """A ValueError where the configuration does not describe the weights, by their headers."""
    found = held.check_tower(path_or_id, config, **hub_kwargs)
    if not found:
        return
    checkpoints.language_depth(getattr(config.text_config, "num_hidden_layers", 0), found, "text_config.")
    with torch.device("meta"):
        described = sum(x.numel() for x in family.model(copy.deepcopy(config)).parameters())
    stored = sum(math.prod(header.shape) for header in found.values())
    if described > PACKED * stored:
        raise ValueError(f"the config of {path_or_id} describes {described} numbers, and its weights are {stored}")


def read_processor(family: Family, path_or_id: str, config: Any, **hub_kwargs: Any) -> Any:
    """The processor of a checkpoint with this configuration; ValueError, TypeError where they do not fit."""
    with as_data(path_or_id):
        processor: Any = AutoProcessor.from_pretrained(path_or_id, **UNTRUSTED, **hub_kwargs)
    check_processor(family, config, processor)
    check_image_processor(processor.image_processor, config.vision_config, path_or_id)
    for kind in family.towers:
        key = f"{kind}_token_id"
        ours, theirs = getattr(config, key), getattr(processor, key)
        checkpoints.token(f"{key} of the config of {path_or_id}", ours, config.text_config.vocab_size)
        if ours != theirs:
            word = getattr(processor, f"{kind}_token")
            raise ValueError(
                f"{key} of {path_or_id} is {ours} in its config, and its processor writes {word} as {theirs}"
            )
    return processor
