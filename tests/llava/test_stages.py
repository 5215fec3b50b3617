"""Stages in the language model against a decoder that masks what they drop: prefill, later steps, padding, beams."""

from typing import Any

import pytest
import torch

import vtc_llava
from vtc_core.stages import FastV

from . import slow_decoder
from .families import FAMILIES, llava, text_config
from .prompts import encoded, prompts
from .staged import Ahead, Pairs, Renumbered, cut, entering, visual

STAGES = [FastV(layer=1, keep=7), Renumbered(layer=2, keep=5), Ahead(layer=2, keep=5), Pairs(layer=1, keep=6)]
PAIRS = [(FastV(layer=1, keep=12), Renumbered(layer=3, keep=4)), (FastV(layer=1, keep=12), Ahead(layer=2, keep=5))]
SETS = [*((stage,) for stage in STAGES), *PAIRS]
BATCHES = ["batch", "several pictures", "one picture", "with text alone"]
STEPS = [[7, 9], [12, 5], [8, 8]]  # words that two rows go on with
close: Any = {"rtol": 1e-4, "atol": 1e-4}


def names(stages):
    return "+".join(stage.name for stage in stages)


@pytest.fixture(scope="module")
def pair():
    return llava(text_config=text_config(depth=4, num_key_value_heads=2))


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def asked(processor, batch, side="left"):
    processor.tokenizer.padding_side = side
    found = prompts(FAMILIES["llava"])
    several: Any = found["several pictures"]
    alone = several._replace(text=[several.text[0], "USER: what color ?"], images=[several.images[0], []])
    inputs = encoded(processor, {**found, "with text alone": alone}[batch])
    processor.tokenizer.padding_side = "left"
    return inputs


def expected_of(model, embeds, ids, mask, stages):
    """Of each row, by the slow decoder: logits where tokens are left, of the prompt and of the steps after it."""
    cuts = {number: found for stage in stages for number, found in cut(stage).items()}
    for row in range(len(ids)):
        at = mask[row].nonzero()[:, 0]
        words = torch.tensor([step[row] for step in STEPS])
        new = model.get_input_embeddings()(words)
        is_visual = torch.cat([visual(ids[row, at]), torch.zeros(len(words), dtype=torch.bool)])
        cuts_of_row = cuts if is_visual.any() else {}
        yield at, *slow_decoder.logits(model, torch.cat([embeds[row, at], new]), is_visual, len(at), cuts_of_row)


@pytest.mark.parametrize("positions", [False, True], ids=["", "positions given"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("stages", SETS, ids=names)
def test_prefill_and_later_steps_are_those_of_a_decoder_that_masks(pair, stages, batch, side, positions):
    model, processor = pair
    inputs = asked(processor, batch, side)
    embeds = entering(model, inputs)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    with vtc_llava.patch(model, processor, stages=stages) as handle:
        found = [model(**inputs, position_ids=mask.cumsum(1) - 1 if positions else None)]
        for step in STEPS:
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
            found.append(
                model(
                    input_ids=torch.tensor(step[: len(ids)])[:, None],
                    attention_mask=mask,
                    past_key_values=found[-1].past_key_values,
                    position_ids=mask.cumsum(1)[:, -1:] - 1 if positions else None,
                )
            )
    assert found[0].logits.shape[1] == ids.shape[1]
    for row, (at, expected, there) in enumerate(expected_of(model, embeds, ids, inputs["attention_mask"], stages)):
        prompt = there[: len(at)]
        torch.testing.assert_close(found[0].logits[row, at[prompt]], expected[: len(at)][prompt], **close)
        assert not found[0].logits[row, at[~prompt]].any()
        if side == "right" and not positions:  # as in the stock model, new tokens are then where padding was
            continue
        for number, step in enumerate(found[1:]):
            torch.testing.assert_close(step.logits[row, 0], expected[len(at) + number], **close)
        kept = handle.stages_last[stages[-1].layer][row]
        assert kept.tolist() == at[there[: len(at)] & visual(ids[row, at])].tolist()


@pytest.mark.parametrize("stages", SETS, ids=names)
def test_beams_have_the_scores_of_a_decoder_that_masks(pair, stages):
    model, processor = pair
    inputs = asked(processor, "batch")  # transformers 5.16 mixes up several pictures of a prompt in beams
    embeds = entering(model, inputs)
    with vtc_llava.patch(model, processor, stages=stages):
        out = model.generate(
            **inputs,
            max_new_tokens=4,
            num_beams=3,
            num_return_sequences=3,
            do_sample=False,
            eos_token_id=None,
            length_penalty=0.0,
            suppress_tokens=None,
            return_dict_in_generate=True,
            output_scores=True,
        )
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    cuts = {number: found for stage in stages for number, found in cut(stage).items()}
    for number, sequence in enumerate(out.sequences):
        row = number // 3
        at, new = mask[row].nonzero()[:, 0], sequence[ids.shape[1] :]
        is_visual = torch.cat([visual(ids[row, at]), torch.zeros(len(new), dtype=torch.bool)])
        whole = torch.cat([embeds[row, at], model.get_input_embeddings()(new)])
        logits, _ = slow_decoder.logits(model, whole, is_visual, len(at), cuts)
        said = logits[len(at) - 1 : -1].log_softmax(-1).gather(1, new[:, None]).sum()
        torch.testing.assert_close(out.sequences_scores[number], said, **close)
