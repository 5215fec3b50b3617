"""What the shipped model answers, fed the tokens that a method chooses; held against `vtc_llava.patch`."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import vtc_llava
import vtc_tiny
from vtc_core.methods import Method, reads_prompt, spelled
from vtc_torch import Pruned, PrunedEncoder

BATCH = 512  # questions answered at once


@torch.inference_mode()
def fed(
    model: Any, method: Method, pixels: Float[Tensor, "batch 3 height width"], keeps: list[int]
) -> Iterator[Pruned]:
    """Projected tokens for each budget; of one walk, unless the walk itself depends on the budget."""
    looked: Any = None
    projector = model.model.multi_modal_projector
    for keep in keeps:
        if looked is None or method.progressive:
            looked = PrunedEncoder(model.model.vision_tower, keep, method, projector=projector).look(pixels)
        choice = looked.choose(keep)
        yield Pruned(looked.feed(choice, projector), choice.indices.long(), choice.scores)


@torch.inference_mode()
def fed_by_question(
    model: Any,
    processor: Any,
    method: Method,
    pixels: Float[Tensor, "asked 3 height width"],
    asked: list[str],
    keep: int,
) -> Pruned:
    """The same of a method that reads the prompt: a row a question, with the picture that it is about."""
    made = []
    with vtc_llava.patch(model, processor, keep=keep, method=method) as handle:
        for rows in torch.arange(len(asked)).split(BATCH):
            texts = [placed(processor, asked[row], keep) for row in rows]
            ids = processor.tokenizer(texts, return_tensors="pt", padding=True).input_ids
            with vtc_llava.prompted(handle, ids):
                tokens = model.model.get_image_features(pixels[rows]).pooler_output
            last: Any = handle.last
            made.append((torch.stack(tokens), last.indices, last.scores))
    return Pruned(*map(torch.cat, zip(*made, strict=True)))


@torch.inference_mode()
def answer(model: Any, processor: Any, tokens: Float[Tensor, "batch keep language"], asked: list[str]) -> list[str]:
    """Greedy answers, one picture's tokens and one question a row."""
    prompts = [placed(processor, text, tokens.shape[1]) for text in asked]
    written = processor.tokenizer(prompts, return_tensors="pt", padding=True)
    embeds = model.get_input_embeddings()(written.input_ids)
    embeds = embeds.masked_scatter((written.input_ids == model.config.image_token_id)[..., None], tokens)
    said = model.generate(inputs_embeds=embeds, attention_mask=written.attention_mask)
    return processor.batch_decode(said, skip_special_tokens=True)


def placed(processor: Any, text: str, keep: int) -> str:
    """A prompt with as many placeholders as tokens are fed."""
    return prompt(processor, text).replace("<image>", "<image>" * keep)


def prompt(processor: Any, text: str) -> str:
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def check(model: Any, processor: Any, method: Method, keep: int, pictures: int = 8) -> None:
    """Fail unless the answers, and the tokens kept, are those of `vtc_llava.patch` and `generate`."""
    scenes = [vtc_tiny.scene(seed) for seed in range(pictures)]
    images = [s.image for s in scenes for _ in vtc_tiny.questions(s)]
    asked = [q.text for s in scenes for q in vtc_tiny.questions(s)]
    with vtc_llava.patch(model, processor, keep=keep, method=method) as handle:
        texts = [prompt(processor, text) for text in asked]
        inputs = processor(images=images, text=texts, return_tensors="pt", padding=True)
        said = model.generate(**inputs)[:, inputs.input_ids.shape[1] :]
        patched, last = processor.batch_decode(said, skip_special_tokens=True), handle.last
    if reads_prompt(method):
        pruned = fed_by_question(model, processor, method, inputs.pixel_values, asked, keep)
    else:
        (pruned,) = fed(model, method, inputs.pixel_values, [keep])
    ours = answer(model, processor, pruned.features, asked)
    if last is None or not torch.equal(last.indices, pruned.indices) or ours != patched:
        raise AssertionError(f"this script and vtc_llava.patch disagree about {spelled(method)} at keep={keep}")
