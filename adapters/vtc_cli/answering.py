"""Pictures and questions in, answers out: the prompt, `generate`, and the words that came after it."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from vtc_llava.answering import prompt as prompt


def encode(model: Any, processor: Any, pictures: Sequence[Image.Image], questions: Sequence[str]) -> Any:
    """What `generate` takes, on the model's device, for each question about the picture at the same place."""
    prompts = [prompt(processor, question) for question in questions]
    inputs = processor(images=list(pictures), text=prompts, return_tensors="pt", padding=True)
    return inputs.to(model.device, model.dtype)


@torch.inference_mode()
def generate(model: Any, inputs: Any, max_new_tokens: int) -> torch.Tensor:
    """The new ids of each row, greedily decoded."""
    return model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)[:, inputs["input_ids"].shape[1] :]


def words(processor: Any, ids: torch.Tensor) -> list[str]:
    return [text.strip() for text in processor.batch_decode(ids, skip_special_tokens=True)]
