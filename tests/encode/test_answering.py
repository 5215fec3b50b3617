"""Answers from stored features are the answers of a patched pair that sees the pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vtc_llava
import vtc_tiny
from vtc_cli import answering
from vtc_encode import Recipe, Worker
from vtc_llava.answering import answer_from, project

from .encoding import rows, run

MANY = 50


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    return vtc_tiny.load()


@pytest.mark.parametrize(("keep", "dtype"), [(144, "float32"), (36, "float32"), (16, "float32"), (16, "float16")])
def test_answers_of_stored_features(pair: Any, recipe: Recipe, tmp_path: Path, keep: int, dtype: str):
    model, processor = pair
    scenes = [vtc_tiny.scene(seed) for seed in range(MANY)]
    (tmp_path / "in").mkdir()
    for scene in scenes:
        scene.image.save(tmp_path / "in" / f"{scene.seed:02}.png")
    asked = [vtc_tiny.questions(scene)[scene.seed % 8].text for scene in scenes]
    run(Worker(replace(recipe, keep=keep, dtype=dtype, batch=16)), tmp_path / "in", tmp_path / "out")
    features = rows(tmp_path / "out")[1]

    answers = answer_from(model, processor, features, asked, max_new_tokens=8)
    with vtc_llava.patch(model, processor, keep):
        inputs = answering.inputs_of(model, processor, [scene.image for scene in scenes], asked)
        expected = answering.decoded(processor, answering.generate(model, inputs, 8))
        assert answer_from(model, processor, features[:3], asked[:3]) == answers[:3]  # patched or not
    assert answers == expected
    assert len(set(answers)) > 10


def test_a_row_may_be_asked_alone_or_many_times(pair: Any):
    model, processor = pair
    features = torch.randn(1, 16, 96, generator=torch.Generator().manual_seed(0))
    asked = ["how many objects ?", "what color is the star ?"]
    one_by_one = [answer_from(model, processor, features, [question])[0] for question in asked]
    assert answer_from(model, processor, features.expand(2, -1, -1), asked) == one_by_one


def test_projected_is_what_the_stock_model_feeds(pair: Any):
    model, _ = pair
    features = np.random.default_rng(0).standard_normal((2, 5, 96)).astype(np.float32)
    made = project(model, features)
    assert not made.requires_grad  # or it would be sent, and saved, with a graph of its past
    with torch.no_grad():
        torch.testing.assert_close(made, model.model.multi_modal_projector(torch.tensor(features)))
    assert made.shape == (2, 5, 128)


def test_refusals(pair: Any):
    model, processor = pair
    features = torch.zeros(2, 16, 96)
    for wrong in (torch.zeros(16, 96), torch.zeros(2, 16, 95), torch.zeros(2, 0, 96)):
        with pytest.raises(ValueError, match=r"features must have shape \(batch, keep, 96\)"):
            project(model, wrong)
    for questions in ("how many objects ?", ["one"]):
        with pytest.raises(ValueError, match="questions must be a sequence with one for each of 2 pictures"):
            answer_from(model, processor, features, questions)
    with pytest.raises(ValueError, match="questions must be words; <image>"):
        answer_from(model, processor, features, ["<image> ?", "b"])
