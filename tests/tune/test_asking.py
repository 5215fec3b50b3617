"""Answers and their likelihood against what stock calls of the model say."""

import pytest
import torch

from vtc_cli.answering import decoded, generate, inputs_of
from vtc_core.methods import method_of
from vtc_llava import Settings, patch
from vtc_tune import asking
from vtc_tune.block import measure
from vtc_tune.samples import draw
from vtc_tune.scenes import Scenes
from vtc_tune.settings import walk_of
from vtc_tune.together import Walks


@pytest.fixture(scope="module")
def asked():
    """Twelve scenes, with prompts of different lengths."""
    return draw(Scenes(range(12)), 12, 0).samples


def settings(*names, keeps=(8, 144)):
    return [Settings(keep, None, method_of(name)) for name in names for keep in keeps]


def rows_of(pair, samples, of, max_new_tokens=8):
    model, processor = pair
    walks = Walks([walk_of(model, processor, setting) for setting in of])
    return measure(model, processor, list(enumerate(samples)), of, walks, max_new_tokens, lambda result: result)


def likely(model, processor, sample, answer):
    """Log-probability a token, one prompt at a time: no padding, no features by hand."""
    inputs = inputs_of(model, processor, [sample.picture()], [sample.question])
    ids = torch.cat([inputs["input_ids"], answer[None]], 1)
    labels = ids.clone()
    labels[:, : -len(answer)] = -100  # so that a method that reads the prompt does not read the answer
    more = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    with torch.inference_mode():
        logits = model(**{**inputs, **more}).logits[0, -len(answer) - 1 : -1].log_softmax(-1)
    return float(logits.gather(1, answer[:, None]).mean()), logits[0]


@pytest.mark.parametrize("name", ["vtc-cls", "visionzip", "aim", "flowcut", "mmtok", "catp-text"])
def test_rows_are_what_the_patched_model_says_by_itself(pair, asked, name):
    model, processor = pair
    rows = rows_of(pair, asked, settings(name, keeps=(8,)))
    unpruned, few = rows[:12], rows[12:]
    stock = inputs_of(model, processor, [s.picture() for s in asked], [s.question for s in asked])
    assert [row.answer for row in unpruned] == decoded(processor, generate(model, stock, 8))
    with torch.inference_mode():
        said = asking.unpruned(model, stock, 8)
    with patch(model, processor, 8, method=name):
        inputs = inputs_of(model, processor, [s.picture() for s in asked], [s.question for s in asked])
        assert [row.answer for row in few] == decoded(processor, generate(model, inputs, 8))
        assert [row.prompt for row in few] == inputs["attention_mask"].sum(1).tolist()
        pruned = [likely(model, processor, sample, one.ids) for sample, one in zip(asked, said, strict=True)]
    whole = [likely(model, processor, sample, one.ids) for sample, one in zip(asked, said, strict=True)]
    for i, row in enumerate(few):
        assert row.loyalty == pytest.approx(pruned[i][0], abs=1e-4)
        divergence = (whole[i][1].exp() * (whole[i][1] - pruned[i][1])).sum()
        assert row.divergence == pytest.approx(float(divergence), abs=1e-3)
        assert unpruned[i].loyalty == pytest.approx(whole[i][0], abs=1e-4)
    assert len({row.answer for row in few}) > 1
    assert any(row.agreement < 1 for row in few)  # else nothing was generated anew


def test_all_tokens_agree_always(pair, asked):
    rows = rows_of(pair, asked, settings("vtc-cls", "divprune", "centerclip", keeps=(144,)))
    assert all(row.agreement == 1 and row.visual == 144 for row in rows)
    assert max(row.divergence for row in rows) < 1e-4


def test_an_answer_that_is_cut_off_goes_on_only_as_long_as_the_first(pair, asked):
    """One token each: nothing ends, nothing is generated."""
    rows = rows_of(pair, asked, settings("vtc-cls", keeps=(8,)), max_new_tokens=1)
    assert all(len(row.answer.split()) <= 1 for row in rows)


def test_a_model_that_penalises_repetition_is_asked_in_full(pair, asked):
    """Its greedy answer is not the likeliest token at each place, so nothing can be told from that."""
    model, _ = pair
    penalty, model.generation_config.repetition_penalty = model.generation_config.repetition_penalty, 3.0
    try:
        rows = rows_of(pair, asked, settings("vtc-cls", keeps=(144,)))
        assert [row.answer for row in rows[:12]] == [row.answer for row in rows[12:]]
    finally:
        model.generation_config.repetition_penalty = penalty


def test_padding_is_on_the_left():
    made, mask = asking.padded([torch.ones(1, 2), torch.full((3, 2), 2.0)])
    assert made[:, :, 0].tolist() == [[0, 0, 1], [2, 2, 2]]
    assert mask.tolist() == [[False, False, True], [True, True, True]]
