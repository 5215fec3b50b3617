"""Methods but VTC-CLS, which the other tests have.

One that merges, a greedy one, one that looks past the features, one that drops tokens inside the encoder.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from asking import QUESTIONS, SCENES, expected, pair
from engines import said
from PIL import Image
from said import Said, same
from shapes import Waits

import vtc_tiny

# With noise: patches of one colour are alike to rounding, and which of them a method takes is the kernels' choice.
PICTURES = [
    Image.fromarray(
        (np.asarray(scene.image) * 0.8 + np.random.default_rng(i).integers(0, 50, (96, 96, 3))).astype("u1")
    )
    for i, scene in enumerate(SCENES)
]
METHODS = ["visionzip:contextual=4", "divprune", "prumerge", "flowcut"]
ALL = 144


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def made(method: str, engines: Callable[..., Any]) -> Any:
    return engines(vtc_tiny.PATH, {"keep": 16, "method": method})


def test_the_tokens_of_a_patched_pair(method: str, made: Any):
    """Of the server's budget, of one for all requests, of several in a call, and of all tokens."""
    prompts: list[dict[str, Any]] = [
        {"prompt": _text(question), "multi_modal_data": {"image": picture}}
        for question, picture in zip(QUESTIONS, PICTURES, strict=True)
    ]
    keeps = [None, 36, ALL, 16, 50]
    mixed = [
        {**prompt, "mm_processor_kwargs": {"vtc_keep": keeps[i % 5]}} if keeps[i % 5] else prompt
        for i, prompt in enumerate(prompts)
    ]
    answers = said(made, mixed, many=8)
    for at, keep in enumerate(keeps):
        same(answers[at::5], expected_of_pictures(keep or 16, method)[at::5])
    same(said(made, prompts, many=8), expected_of_pictures(16, method))

    pixels = torch.zeros(3, 3, 96, 96)
    for keep in (0, 36, ALL):  # 0: the server's
        with Waits() as waits:
            fed = embedded(made, pixels, [keep] * 3)
        assert [tuple(tokens.shape) for tokens in fed] == [(keep or 16, 128)] * 3
        assert (
            waits.seen == [] or method == "flowcut"
        )  # where all budgets are equal nothing has to be known of what is in the pictures


def test_what_is_not_finite_stays_in_its_row(engines: Callable[..., Any]):
    made = engines(vtc_tiny.PATH, {"keep": 16, "method": "visionzip:contextual=4"})
    pixels = pair()[1].image_processor(PICTURES[:4], return_tensors="pt")["pixel_values"]
    for keeps in ([16] * 4, [16, 36, 16, 50]):
        good = embedded(made, pixels, keeps)
        for value in (torch.nan, torch.inf):
            one = pixels.clone()
            one[2, :, 40, 40] = value
            bad = embedded(made, one, keeps)
            assert all(torch.equal(bad[row], good[row]) for row in (0, 1, 3))
            assert all(bool(row.isfinite().all()) for row in bad)  # which vLLM's cache of keys and values needs
            assert not torch.equal(bad[2], good[2])


def test_the_answers_depend_on_the_method():
    """Or the tests above would pass with any."""
    answers = [expected_of_pictures(16, method) for method in [None, *METHODS]]
    for i, ours in enumerate(answers):
        for theirs in answers[:i]:
            assert sum(abs(a.logprobs[0] - b.logprobs[0]) > 5e-3 for a, b in zip(ours, theirs, strict=True)) >= 5


@functools.cache
def expected_of_pictures(keep: int, method: str | None) -> list[Said]:
    return expected(keep, [[picture] for picture in PICTURES], QUESTIONS, method)


def embedded(made: Any, pixels: torch.Tensor, keeps: list[int]) -> list[torch.Tensor]:
    """What the model feeds of pictures that come in one call."""
    kwargs = {"pixel_values": pixels, "vtc_keep": torch.tensor(keeps)}
    return made.apply_model(lambda model: model.embed_multimodal(**kwargs))[0]


def _text(question: str) -> str:
    content = [{"type": "image"}, {"type": "text", "text": question}]
    return pair()[1].apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
