"""The words of prompts reach the method: each picture's own, batches, padding, beams, labels; and nothing else does."""

import re
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from small_models import WORDS, picture, same

import vtc_core
import vtc_llava
from vtc_core.methods import CatpText, CdPruner, Choice, MmTok, Seen, Trim
from vtc_llava.words import rows_of_table

from .families import FAMILIES
from .prompts import encoded, new_tokens, prompts
from .small_clip import needed, text_tower
from .wording import ASKED, asked, patchable

READING = {"mmtok": MmTok(), "catp-text": CatpText(), "cdpruner": CdPruner(), "trim": Trim()}
every_method = pytest.mark.parametrize("method", READING)


@pytest.fixture(scope="module")
def pair():
    return patchable()


def words_of(text):
    """By hand: no placeholders; the tokenizer of the tests knows no special tokens in a text but these."""
    return re.sub(r"\s+", " ", text.replace("<image>", " ")).strip()


def expected(model, pixels, texts, method, keep) -> Choice:
    """On NumPy, of the stock tower's features; the words by another way than the library's."""
    with torch.no_grad():
        states = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        projected = model.model.multi_modal_projector(states)
        table = model.get_input_embeddings().weight
    ids = [[WORDS.index(word) if word in WORDS else 3 for word in method.reads(text).split()] for text in texts]
    longest = max(map(len, ids))
    text = np.stack([np.pad(table[row].detach().numpy(), ((0, longest - len(row)), (0, 0))) for row in ids])
    clip = text_tower()
    seen = Seen(
        np.zeros((*states.shape[:2], 2), int),
        np.zeros(states.shape[:2], int),
        features=states.numpy(),
        projected=projected.numpy(),
        text=text,
        image_embeds=clip.of_patches(states).numpy(),
        text_embeds=clip.of_prompts(texts).numpy(),
    )
    return method.choose(vtc_core, seen, keep)


@every_method
@pytest.mark.parametrize("side", ["left", "right"])
def test_each_picture_is_chosen_from_with_the_words_of_its_own_prompt(pair, method, side):
    model, processor = pair
    texts = [words_of(text) for text, count in ASKED for _ in range(count)]
    with vtc_llava.patch(model, processor, keep=7, method=method, **needed(method)) as handle, torch.no_grad():
        inputs = asked(processor, side)
        model(**inputs)
        wanted = expected(model, inputs["pixel_values"], texts, READING[method], 7)
        assert handle.last is not None
        np.testing.assert_array_equal(handle.last.indices, wanted.indices)
        np.testing.assert_allclose(handle.last.scores, wanted.scores, rtol=1e-3, atol=1e-5)
        kept = [row.tolist() for row in handle.last.indices]
        assert kept[0] != kept[2] or kept[2] != kept[3]  # the same picture, asked other things
        assert len(handle.weights(0)) == 7


@every_method
def test_generate_chooses_once_with_the_words_of_the_prompt(pair, method):
    """Whatever is said afterwards: with a cache and without, beams, several answers; and as `forward` does."""
    model, processor = pair
    with vtc_llava.patch(model, processor, keep=7, method=method, **needed(method)) as handle, torch.no_grad():
        inputs = asked(processor)
        model(**inputs)
        assert handle.last is not None
        wanted = handle.last.indices.tolist()
        for settings in ({}, {"use_cache": False}, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}):
            handle.last = None
            new_tokens(model, inputs, **settings)
            assert handle.last is not None
            repeated = len(handle.last.indices) // len(wanted)  # before transformers 5.18, for each beam
            assert handle.last.indices.tolist() == [row for row in wanted for _ in range(repeated)], settings
        others = {name: value for name, value in inputs.items() if name != "input_ids"}
        positional = model.generate(inputs["input_ids"], **others, max_new_tokens=2)
        same(positional, model.generate(**inputs, max_new_tokens=2))


def test_tiles_and_frames_get_the_words_of_their_picture():
    """Of two pictures of one tile and more in one prompt, and of one in another: as each of them alone."""
    case = FAMILIES["llava_next"]
    model, processor = case.make()
    budgets: list[Any] = [{"keep": 5}, {"total": 17}]
    for budget in budgets:
        with vtc_llava.patch(model, processor, **budget, method="mmtok") as handle, torch.no_grad():
            prompt: Any = prompts(case)["several pictures"]
            model(**encoded(processor, prompt))
            weights = [handle.weights(number) for number in range(3)]
            for number, one in enumerate([prompt.images[0][0], prompt.images[0][1], prompt.images[1][0]]):
                text = prompt.text[0].replace("<image> <image>", "<image>") if number < 2 else prompt.text[1]
                model(**encoded(processor, prompt._replace(text=[text], images=[[one]])))
                same(handle.weights(0), weights[number])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_and_a_batch_is_its_rows(family):
    case = FAMILIES[family]
    model, processor = case.make()
    kinds = ["batch", *(["several pictures"] if family != "llava_onevision" else [])]
    with vtc_llava.patch(model, processor, keep=5, method="mmtok"), torch.no_grad():
        for kind in [*kinds, *(["picture and video"] if case.videos else [])]:
            batch = new_tokens(model, encoded(processor, prompts(case)[kind]))
            for row, one in zip(batch, prompts(case)[kind].rows(), strict=True):
                alone = new_tokens(model, encoded(processor, one))[0]
                assert row[: len(alone)].tolist() == alone.tolist()


def test_what_is_to_be_learned_is_not_read(pair):
    model, processor = pair
    with vtc_llava.patch(model, processor, keep=7, method="mmtok") as handle, torch.no_grad():

        def kept(text, learned=0, **more):
            inputs = processor(images=picture(0), text=text, return_tensors="pt")
            labels = inputs["input_ids"].clone()
            labels[:, : labels.shape[1] - learned] = -100
            model(**inputs, labels=labels if learned else None, **more)
            assert handle.last is not None
            return handle.last.indices.tolist()

        question = "USER: <image> what color ? ASSISTANT:"
        assert kept(f"{question} red star", 2) == kept(question)
        assert kept(f"{question} red star") != kept(question)
        everything = processor(images=picture(0), text=question, return_tensors="pt")
        model(**everything, labels=everything["input_ids"])  # of which nothing is left


def test_without_words_there_is_a_sentence(pair):
    model, processor = pair
    with vtc_llava.patch(model, processor, keep=7, method="mmtok") as handle, torch.no_grad():
        inputs = asked(processor)
        pixels, ids = inputs["pixel_values"], inputs.pop("input_ids")
        embeds = model.get_input_embeddings()(ids)
        for call in (model, partial(model.generate, max_new_tokens=2)):
            with pytest.raises(ValueError, match="'mmtok' reads the prompt: pass input_ids, not inputs_embeds alone"):
                call(inputs_embeds=embeds, **inputs)
        with pytest.raises(ValueError, match="'mmtok' reads the prompt that a picture is in: call the model itself or"):
            model.model.get_image_features(pixels)
        with vtc_llava.prompted(handle, ids):
            model.model.get_image_features(pixels)
        with pytest.raises(
            ValueError, match="have 14, 7, 0, 7 placeholders, and the 3 pruned pictures make 7, 7, 7 to"
        ):
            model(input_ids=ids, pixel_values=pixels[:3])
        with pytest.raises(ValueError, match="reads the prompt that a picture is in"):  # nothing is left of a call
            model.model.get_image_features(pixels)
        model(processor.tokenizer("USER: what ?", return_tensors="pt")["input_ids"])
    with pytest.raises(ValueError, match="'mmtok' reads the prompt, and an encoder by itself is given none"):
        _ = handle.encoder


def test_a_picture_is_shown_with_a_prompt(pair):
    model, processor = pair
    with vtc_llava.patch(model, processor, keep=7, method="mmtok") as handle:
        handle.show(picture(0), prompt="what color")
        assert handle.last is not None
        first = handle.last.indices.tolist()
        handle.show(picture(0), prompt="yes no blue many star")
        assert handle.last.indices.tolist() != first
        with pytest.raises(ValueError, match="'mmtok' reads the prompt, and prompt is None: give prompt="):
            handle.show(picture(0))


def test_rows_of_the_table_end_in_zeros(pair):
    model, processor = pair
    made = rows_of_table(model.get_input_embeddings(), processor.tokenizer, ["what color", "", "red star blue"])
    table = model.get_input_embeddings().weight
    same(made[0, :2], table[[WORDS.index("what"), WORDS.index("color")]])
    assert made.shape == (3, 3, 32)
    assert not made[0, 2:].any()
    assert not made[1].any()
