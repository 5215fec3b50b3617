"""Pictures and questions in, answers out: the prompt, `generate`, and the words that came after it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from PIL import Image
from transformers import LogitsProcessorList

from vtc_llava.answering import prompt as prompt

from .generation import GREEDY


def inputs_of(model: Any, processor: Any, pictures: Sequence[Image.Image], questions: Sequence[str]) -> Any:
    """What `generate` takes, on the model's device, for each question about the picture at the same place."""
    return inputs_of_prompts(model, processor, pictures, [prompt(processor, question) for question in questions])


def inputs_of_prompts(model: Any, processor: Any, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> Any:
    """The same of prompts that are written already."""
    inputs = processor(images=list(pictures), text=prompts, return_tensors="pt", padding=True)
    return inputs.to(model.device, model.dtype)


@torch.inference_mode()
def generate(model: Any, inputs: Any, max_new_tokens: int) -> torch.Tensor:
    """The new ids of each row, greedily decoded; ValueError where the model's numbers are not finite."""
    ids = model.generate(
        **inputs,
        **GREEDY,
        max_new_tokens=max_new_tokens,
        logits_processor=LogitsProcessorList([partial(_finite, model)]),
    )
    return ids[:, inputs["input_ids"].shape[1] :]


def _finite(model: Any, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """At every step, as a processor of logits; -inf is what others forbid a token with."""
    pruned = getattr(model, "vtc", None) and model.vtc.last
    for what, good in (
        ("features of the vision tower", pruned is None or pruned.features.isfinite().all()),
        ("logits of the language model", not (logits.isnan() | logits.isposinf()).any()),
    ):
        if not good:
            dtype = str(model.dtype).removeprefix("torch.")
            helps = ": try --dtype float32" if dtype == "float16" else ""
            raise ValueError(f"the {what} are not finite in {dtype}{helps}")
    return logits


def decoded(processor: Any, ids: torch.Tensor) -> list[str]:
    return [text.strip() for text in processor.batch_decode(ids, skip_special_tokens=True)]
