"""Encode once, ask many times: features that were pruned before, sent over HTTP in the place of a picture."""

import functools
from typing import Any

import openai
import pytest
import torch
from asking import QUESTIONS, SCENES, Answer, Asked, ask, expected_of_scenes, pair
from engines import said
from said import Said, same

import vtc_llava
import vtc_tiny
from vtc_tiny.tokenizer import IMAGE
from vtc_torch import PrunedEncoder


@functools.cache
def features(keep: int) -> torch.Tensor:
    """Of all scenes, as `vtc encode` stores them."""
    encoder = PrunedEncoder.from_pretrained(str(vtc_tiny.PATH), keep)
    pixels = pair()[1].image_processor([scene.image for scene in SCENES], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        return encoder(pixels).features


@functools.cache
def projected(keep: int) -> torch.Tensor:
    with torch.inference_mode():
        return vtc_llava.project(pair()[0], features(keep))


def asked(keep: int) -> list[Asked]:
    return [Asked(question, encoded=row) for question, row in zip(QUESTIONS, projected(keep), strict=True)]


def words(answers: list[Answer]) -> list[str]:
    return [answer.text for answer in answers]


@pytest.mark.parametrize("keep", [16, 36, 144])
def test_the_answers_of_answer_from(pruned: str, keep: int):
    """Whatever the budget of the server."""
    answers = ask(pruned, asked(keep))
    model, processor = pair()
    assert words(answers) == vtc_llava.answer_from(model, processor, features(keep), QUESTIONS, max_new_tokens=8)
    same([answer.said for answer in answers], expected_of_scenes(keep))


def test_mixed_with_pictures_and_with_each_other(pruned: str):
    """In the same moment: features of two lengths, and pictures of two budgets."""
    pictures = [Asked(question, [scene.image]) for question, scene in zip(QUESTIONS, SCENES, strict=True)]
    kinds = [pictures, asked(36), [picture._replace(keep=144) for picture in pictures], asked(16)]
    mixed = [kinds[i % 4][i] for i in range(len(SCENES))]
    answers = [answer.said for answer in ask(pruned, mixed)]
    for at, keep in enumerate((16, 36, 144, 16)):
        same(answers[at::4], expected_of_scenes(keep)[at::4])


def test_features_that_were_not_projected_are_refused(pruned: str):
    """And take nobody with them."""
    wrong = Asked(QUESTIONS[0], encoded=features(16)[0])
    with pytest.raises(openai.BadRequestError, match=r"got 96, but model expects 128"):
        ask(pruned, [wrong])
    same([ask(pruned, asked(16)[:1])[0].said], expected_of_scenes(16)[:1])


def test_a_server_that_never_sees_a_picture_needs_no_tower(engines: Any):
    made = engines(vtc_tiny.PATH, {"keep": 16}, limit_mm_per_prompt={"image": 0}, enable_mm_embeds=True)
    parts = made.apply_model(lambda model: [name for name, _ in model.named_parameters()])[0]
    assert not any(name.startswith("vision_tower") for name in parts)
    prompts = [
        {"prompt_token_ids": _one_place(wanted), "multi_modal_data": {"image": row[None]}}
        for wanted, row in zip(expected_of_scenes(36)[:10], projected(36), strict=False)
    ]
    same(said(made, prompts, many=8), expected_of_scenes(36)[:10])


def _one_place(wanted: Said) -> list[int]:
    """The prompt as it is before the places of a picture are known."""
    first = wanted.prompt.index(IMAGE)
    return wanted.prompt[: first + 1] + [token for token in wanted.prompt[first:] if token != IMAGE]
