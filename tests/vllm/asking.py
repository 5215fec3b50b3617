"""Scenes and questions, asked over HTTP by OpenAI's client, and by transformers."""

import asyncio
import base64
import functools
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import openai
import torch
from PIL import Image
from said import Said, in_transformers

import vtc_llava
import vtc_tiny

SCENES = [vtc_tiny.scene(seed) for seed in range(50)]
QUESTIONS = [vtc_tiny.questions(scene)[(scene.seed + 1) % 8].text for scene in SCENES]
MANY = 8  # new tokens at most


class Asked(NamedTuple):
    """A question about pictures, or about one that was encoded before, with a budget of its own or the server's."""

    question: str
    pictures: Sequence[Image.Image] = ()
    encoded: torch.Tensor | None = None  # keep language_dim
    keep: Any = None
    uuid: str | None = None  # of the picture


class Answer(NamedTuple):
    said: Said
    text: str
    cached: int  # tokens of the prompt that were in the prefix cache


def ask(address: str, asked: Sequence[Asked]) -> list[Answer]:
    """All at the same moment."""

    async def together() -> list[Answer]:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            model = (await client.models.list()).data[0].id
            return await asyncio.gather(*(_one(client, model, request) for request in asked))

    return asyncio.run(together())


async def _one(client: openai.AsyncOpenAI, model: str, asked: Asked) -> Answer:
    pictures: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_png(picture)}"}}
        for picture in asked.pictures
    ]
    if asked.encoded is not None:
        pictures.append({"type": "image_embeds", "image_embeds": _npy(asked.encoded)})
    if asked.uuid is not None:
        pictures = [{**picture, "uuid": asked.uuid} for picture in pictures]
    extra: dict[str, Any] = {"return_token_ids": True, "add_special_tokens": True}  # <s> first, as processors do
    if asked.keep is not None:
        extra["mm_processor_kwargs"] = {"vtc_keep": asked.keep}
    content: Any = [*pictures, {"type": "text", "text": asked.question}]
    answer: Any = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": content}],
        temperature=0,
        max_tokens=MANY,
        logprobs=True,
        extra_body=extra,
    )
    (choice,), usage = answer.choices, answer.usage
    assert usage.prompt_tokens == len(answer.prompt_token_ids)
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    said = Said(answer.prompt_token_ids, choice.token_ids, [token.logprob for token in choice.logprobs.content])
    return Answer(said, choice.message.content.strip(), cached)


def _png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _npy(tensor: torch.Tensor) -> str:
    buffer = io.BytesIO()
    np.save(buffer, tensor.numpy())
    return base64.b64encode(buffer.getvalue()).decode()


@functools.cache
def pair() -> tuple[Any, Any]:
    return vtc_tiny.load()


def expected(
    keep: int | None, pictures: Sequence[Sequence[Image.Image]], questions: Sequence[str], method: str | None = None
) -> list[Said]:
    """Of transformers, in one batch; `pictures` of each question, everywhere as many. Unpatched if keep is None."""
    model, processor = pair()
    texts = []
    for shown, question in zip(pictures, questions, strict=True):
        content = [*([{"type": "image"}] * len(shown)), {"type": "text", "text": question}]
        texts.append(processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True))
    handle = vtc_llava.patch(model, processor, keep, method=method) if keep is not None else None
    try:
        images = [list(shown) for shown in pictures] if pictures[0] else None
        inputs = processor(images=images, text=texts, return_tensors="pt", padding=True)
        return in_transformers(model, inputs, MANY)
    finally:
        if handle is not None:
            handle.undo()


@functools.cache
def expected_of_scenes(keep: int | None, method: str | None = None) -> list[Said]:
    """Of the 50 questions, one to a scene."""
    return expected(keep, [[scene.image] for scene in SCENES], QUESTIONS, method)
