"""Stages in every family: nothing dropped is stock, a batch is its rows, places are those in the pictures."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from small_models import same

import vtc_llava
from vtc_core.methods import Choice
from vtc_core.stages import FastV, Running

from .families import FAMILIES, llava
from .prompts import encoded, new_tokens, prompts

CASES = [(family, prompt) for family, case in FAMILIES.items() for prompt in prompts(case)]
BUDGETS = [(f, b) for f, case in FAMILIES.items() for b in [{}, {"keep": 5}, {"total": 17}][: 2 + case.total]]


@dataclass(frozen=True)
class Noting(FastV):
    """Writes down what it saw."""

    seen: list[Running] = field(default_factory=list, compare=False)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        self.seen.append(seen)
        return super().choose(v, seen, keep, scale, layer)


def budgeted(case, budget):
    return {**budget, "method": case.method} if budget else {}


@pytest.mark.parametrize(("family", "prompt"), CASES)
def test_dropping_nothing_gives_the_logits_without_stages_to_the_bit(family, prompt):
    case = FAMILIES[family]
    model, processor = case.make()
    asked = prompts(case)[prompt]
    stock = model(**encoded(processor, asked)).logits
    with vtc_llava.patch(model, processor, keep=case.tokens, method=case.method):
        expected = model(**encoded(processor, asked)).logits
        said = new_tokens(model, encoded(processor, asked), num_beams=2)
    with vtc_llava.patch(model, processor, keep=case.tokens, method=case.method, stages=[FastV(layer=1, keep=1.0)]):
        same(model(**encoded(processor, asked)).logits, expected)
        same(new_tokens(model, encoded(processor, asked), num_beams=2), said)
    with vtc_llava.patch(model, processor, stages=[FastV(layer=1, keep=1.0)]):
        torch.testing.assert_close(model(**encoded(processor, asked)).logits, stock, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("family", "budget"), BUDGETS, ids=str)
def test_batches_beams_and_samples_answer_as_their_rows_do(family, budget):
    case = FAMILIES[family]
    model, processor = case.make()
    stage = FastV(layer=1, keep=3)
    with vtc_llava.patch(model, processor, **budgeted(case, budget), stages=[stage]) as handle:
        for prompt in prompts(case).values():
            batch = new_tokens(model, encoded(processor, prompt))
            beams = new_tokens(model, encoded(processor, prompt), num_beams=2)
            for row, one in enumerate(prompt.rows()):
                alone = new_tokens(model, encoded(processor, one))
                assert batch[row, : alone.shape[1]].tolist() == alone[0].tolist()
                alone = new_tokens(model, encoded(processor, one), num_beams=2)
                assert beams[row, : alone.shape[1]].tolist() == alone[0].tolist()
            several = new_tokens(model, encoded(processor, prompt), do_sample=True, num_return_sequences=3)
            assert len(several) == 3 * len(prompt.text)
            if prompt.images or prompt.videos:
                assert {len(kept) for kept in handle.stages_last[1]} == {3}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stage_sees_where_tokens_are_in_their_pictures(family):
    case = FAMILIES[family]
    model, processor = case.make()
    for prompt in ("several pictures", "picture and video")[: 1 + case.videos]:
        noting = Noting(layer=1, keep=1.0)
        with vtc_llava.patch(model, processor, **budgeted(case, {"keep": 5}), stages=[noting]) as handle:
            model(**encoded(processor, prompts(case)[prompt]))
            found = torch.cat([seen.places[0] for seen in noting.seen])
            if prompt == "several pictures" and not case.total:
                side = int(case.tokens**0.5)
                last: Any = handle.last
                kept = last.indices.flatten()
                same(found, torch.stack([kept // side, kept % side], 1))
            assert len(found.unique(dim=0)) > 5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stage_sees_for_every_beam_where_tokens_are(family):
    case = FAMILIES[family]
    if case.in_a_row and Version(transformers.__version__) < Version("5.18"):
        pytest.skip("generate repeats tiles one by one for beams there, and mixes up pictures of several, in stock too")
    model, processor = case.make()
    noting = Noting(layer=1, keep=1.0)
    with vtc_llava.patch(model, processor, **budgeted(case, {"keep": 5}), stages=[noting]):
        model(**encoded(processor, prompts(case)["batch"]))
        new_tokens(model, encoded(processor, prompts(case)["batch"]), num_beams=2)
    for alone, beams in zip(noting.seen[:2], (noting.seen[2:4], noting.seen[4:]), strict=True):
        assert len(beams) == 2
        for beam in beams:
            same(beam.places, alone.places)


def test_all_places_of_a_whole_picture_are_its_grid():
    model, processor = llava()
    noting = Noting(layer=1, keep=1.0)
    with vtc_llava.patch(model, processor, stages=[noting]):
        model(**encoded(processor, prompts(FAMILIES["llava"])["one picture"]))
    places: Any = noting.seen[0].places[0].tolist()
    assert places == [[row, column] for row in range(6) for column in range(6)]
