"""Prompts whose words count: a ragged batch with pictures."""

from typing import Any

from small_models import make_llava, make_processor, picture

ASKED = [  # a batch of ragged prompts: two pictures, one, none, one; what a method is to see of each
    ("USER: <image> what red <image> ? ASSISTANT:", 2),
    ("USER: how many star ? <image> ASSISTANT:", 1),
    ("USER: yes ? ASSISTANT:", 0),
    ("USER: blue <image> yes no yes no ASSISTANT:", 1),
]


PICTURES = [picture(5), picture(6), picture(5), picture(5)]


def patchable() -> tuple[Any, Any]:
    return make_llava(), make_processor()


def asked(processor, side="left"):
    processor.tokenizer.padding_side = side
    images = [[PICTURES[0], PICTURES[1]], [PICTURES[2]], [PICTURES[3]]]
    made = processor(text=[text for text, _ in ASKED], images=images, return_tensors="pt", padding=True)
    processor.tokenizer.padding_side = "left"
    return made
