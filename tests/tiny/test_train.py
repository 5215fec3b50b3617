"""The training script runs end to end, and trains on what inference computes."""

from typing import Any

import pytest
import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration

import vtc_tiny
from vtc_tiny.checkpoint import build, processor
from vtc_tiny.stream import pixel_values
from vtc_tiny.train import train
from vtc_tiny.train_answers import (
    IGNORE,
    PREFIX,
    PROMPT,
    SLOT,
    TOKENS,
    answer_logits,
    image_places,
    positions,
    slots,
)


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return build().eval()


def test_three_steps_give_a_checkpoint_that_loads(tmp_path):
    train(tmp_path / "tiny", tower_steps=2, answer_steps=3, batch=2)
    folder = tmp_path / "tiny"
    _, info = LlavaForConditionalGeneration.from_pretrained(folder, output_loading_info=True)  # pyright: ignore
    assert not any(info.values()), info
    assert AutoProcessor.from_pretrained(tmp_path / "tiny").num_additional_image_tokens == 1


def test_the_trained_prompt_is_that_of_inference():
    ours: Any = processor()
    image, question = vtc_tiny.scene(0).image, vtc_tiny.questions(vtc_tiny.scene(0))[0]
    content = [{"type": "image"}, {"type": "text", "text": question.text}]
    prompt = ours.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert prompt == PROMPT.format(question.text)
    ids, labels = slots([question])
    answer = int((labels[0] != IGNORE).nonzero()[0])
    asked = PREFIX + ids[0, :answer].tolist()
    stock = ours(images=[image], text=prompt).input_ids[0]
    assert list(stock) == asked


def test_packed_questions_are_answered_as_if_asked_alone(untrained):
    """The block mask and the positions: every slot's logits are those of the stock model on that question."""
    scene = vtc_tiny.scene(1)
    asked = vtc_tiny.questions(scene)
    ids, _ = slots(asked)
    stock: Any = processor()
    with torch.no_grad():
        at = positions(torch.arange(TOKENS)[None], torch.zeros(1, 8, dtype=torch.long))
        seen = torch.tensor([False])
        packed = answer_logits(untrained, pixel_values([scene]), ids[None], at, seen)[0]
        for i, question in enumerate(asked):
            inputs = stock(images=[scene.image], text=PROMPT.format(question.text), return_tensors="pt")
            alone = untrained(**inputs).logits[0, len(PREFIX) :]
            torch.testing.assert_close(packed[i, : len(alone)], alone, atol=1e-5, rtol=1e-4)


def test_image_places_are_ascending_and_half_of_them_stock():
    torch.manual_seed(0)
    places = image_places(400)
    assert (places.diff(dim=1) >= 0).all()
    assert places.min() >= 0
    assert places.max() == TOKENS - 1
    stock = (places == torch.arange(TOKENS)).all(1)
    assert 150 < stock.sum() < 250
    assert places[~stock].amax(1).min() < 9


def test_labels_are_the_answer_and_the_end():
    for seed in range(20):
        asked = vtc_tiny.questions(vtc_tiny.scene(seed))
        ids, labels = slots(asked)
        assert ids.shape == labels.shape == (8, SLOT)
        for question, row in zip(asked, labels, strict=True):
            assert processor().tokenizer.decode(row[row != IGNORE]) == f"{question.answer} </s>"
