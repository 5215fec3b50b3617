"""What every family is asked: pictures, several of them, videos, and text alone; and how it is asked."""

from typing import Any, NamedTuple

import numpy as np
import torch
from small_models import picture

from .families import IMAGE, VIDEO, Case


def clip(seed: int, frames: int = 3, side: int = 24) -> np.ndarray:
    return np.random.default_rng(1000 + seed).integers(0, 256, (frames, side, side, 3), dtype=np.uint8)


class Prompt(NamedTuple):
    text: list[str]
    images: list[list[Any]] | None = None
    videos: list[np.ndarray] | None = None

    def rows(self) -> "list[Prompt]":
        """Each prompt of the batch by itself."""
        clips = iter(self.videos or [])
        return [
            Prompt(
                [text],
                [self.images[i]] if self.images and "<image>" in text else None,
                [next(clips)] if "<video>" in text else None,
            )
            for i, text in enumerate(self.text)
        ]


def prompts(case: Case) -> dict[str, Prompt]:
    """Ragged where the family has tiles: portrait, landscape, tiny."""
    found = {
        "one picture": Prompt(["USER: <image> what color ? ASSISTANT:"], [[picture(0)]]),
        "batch": Prompt(
            ["USER: <image> what ? ASSISTANT:", "USER: <image> how many red star ? ASSISTANT:"],
            [[picture(0)], [picture(1, 20, 90)]],
        ),
        "several pictures": Prompt(
            ["USER: <image> <image> what ? ASSISTANT:", "USER: how many <image> red star ? ASSISTANT:"],
            [[picture(0), picture(1, 21, 20)], [picture(2, 100, 80)]],
        ),
        "text only": Prompt(["USER: what color ? ASSISTANT:", "USER: how many red star ? ASSISTANT:"]),
    }
    if case.videos:
        first, second = clip(0, side=case.frame), clip(1, side=case.frame)
        found["video"] = Prompt(["USER: <video> what color ? ASSISTANT:"], videos=[first])
        found["batch of videos"] = Prompt(
            ["USER: <video> what ? ASSISTANT:", "USER: <video> how many red star ? ASSISTANT:"], videos=[first, second]
        )
        found["picture and video"] = Prompt(
            ["USER: <image> what ? ASSISTANT:", "USER: <video> how many red star ? ASSISTANT:"],
            [[picture(0)], []],
            [first],
        )
    return found


def encoded(processor: Any, prompt: Prompt) -> Any:
    images = [images for images in prompt.images if images] if prompt.images else None
    return processor(text=prompt.text, images=images, videos=prompt.videos, return_tensors="pt", padding=True)


def new_tokens(model: Any, inputs: Any, **settings: Any) -> torch.Tensor:
    torch.manual_seed(0)
    settings = {"do_sample": False, "suppress_tokens": [IMAGE, VIDEO], **settings}  # a trained model never says those
    generated = model.generate(**inputs, max_new_tokens=6, **settings)
    return generated[:, inputs["input_ids"].shape[1] :]
