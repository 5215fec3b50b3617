"""Answers from stored features are the answers of a patched pair that sees the pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import picture

import vtc_llava
import vtc_tiny
from vtc_cli import answering
from vtc_encode import Recipe, Worker
from vtc_llava.answering import answer_from, project

from ..llava.families import internvl
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


@pytest.mark.parametrize("crops", [False, True])
def test_answers_of_stored_features_of_internvl(tmp_path: Path, crops: bool):
    """A picture is one tile, whatever its processor's settings say of crops: as for a pair that makes no more."""
    model, processor = internvl()
    processor.image_processor.crop_to_patches = crops
    model.save_pretrained(tmp_path / "model")
    processor.image_processor.save_pretrained(tmp_path / "model")
    pictures = [picture(seed, 40, 30 + seed) for seed in range(6)]
    (tmp_path / "in").mkdir()
    for seed, image in enumerate(pictures):
        image.save(tmp_path / "in" / f"{seed}.png")
    run(Worker(Recipe(str(tmp_path / "model"), 4, dtype="float32")), tmp_path / "in", tmp_path / "out")
    features, indices = rows(tmp_path / "out")[1:3]
    assert (features.shape, indices.max() < 9) == ((6, 4, 4 * 32), True)

    processor.image_processor.max_patches = 1
    asked = ["what color ?", "how many red star ?"] * 3
    with vtc_llava.patch(model, processor, 4) as handle:
        texts = [answering.prompt(processor, question) for question in asked]
        inputs = processor(text=texts, images=[[image] for image in pictures], padding=True, return_tensors="pt")
        fed = model.model.get_image_features(inputs["pixel_values"]).pooler_output
        assert handle.last is not None
        assert handle.last.indices.tolist() == indices.tolist()
        torch.testing.assert_close(project(model, features), fed, rtol=1e-4, atol=1e-5)
        prompts: list[torch.Tensor] = []
        model.model.language_model.register_forward_pre_hook(
            lambda module, args, kwargs: prompts.append(kwargs["inputs_embeds"]), with_kwargs=True
        )
        answers = answering.decoded(processor, answering.generate(model, inputs, 1))
        assert answer_from(model, processor, features, asked, max_new_tokens=1) == answers
    torch.testing.assert_close(prompts[1], prompts[0], rtol=1e-4, atol=1e-5)


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
