"""What holds for every family: whole is stock, a batch is its rows, undo restores, a wrong processor is named."""

import copy
from typing import Any

import pytest
import torch
from small_models import same

import vtc_llava
from vtc_torch.blocks import layers_of

from .families import FAMILIES, IMAGE, VIDEO
from .prompts import encoded, new_tokens, prompts

CASES = [(family, prompt) for family, case in FAMILIES.items() for prompt in prompts(case)]
BUDGETS = [(f, b) for f, case in FAMILIES.items() for b in [{"keep": 5}, {"total": 17}][: 1 + case.total]]
TOWERS = ("vision_tower", "image_tower", "video_tower")


def patched(case, pair, **budget):
    return vtc_llava.patch(*pair, **budget, method=case.method)


def bare(x):
    return dict(vars(x))


def trace(model, processor):
    """Everything that a patch may touch."""
    return [bare(x) for x in (model, model.model, model.config, processor)]


@pytest.mark.parametrize(("family", "prompt"), CASES)
def test_keeping_all_tokens_gives_the_unpatched_ids_logits_and_answers(family, prompt):
    case = FAMILIES[family]
    model, processor = case.make()
    asked = prompts(case)[prompt]
    before = encoded(processor, asked)
    expected, said = model(**before).logits, new_tokens(model, before)
    for budget in [{"keep": case.tokens}, {"total": 10**6}][: 1 + case.total]:
        with patched(case, (model, processor), **budget):
            inputs = encoded(processor, asked)
            assert inputs.keys() - before.keys() == ({"image_sizes"} if case.in_a_row and len(before) > 2 else set())
            for name, tensor in before.items():
                same(inputs[name], tensor)
            torch.testing.assert_close(model(**inputs).logits, expected, rtol=1e-5, atol=1e-5)
            same(new_tokens(model, inputs), said)


@pytest.mark.parametrize(("family", "budget"), BUDGETS, ids=str)
def test_batches_beams_and_caches_answer_as_their_rows_do(family, budget):
    case = FAMILIES[family]
    model, processor = case.make()
    patched(case, (model, processor), **budget)
    for prompt in prompts(case).values():
        batch = new_tokens(model, encoded(processor, prompt))
        beams = new_tokens(model, encoded(processor, prompt), num_beams=2)
        same(new_tokens(model, encoded(processor, prompt), use_cache=False), batch)
        for row, one in enumerate(prompt.rows()):
            alone = new_tokens(model, encoded(processor, one))
            assert batch[row, : alone.shape[1]].tolist() == alone[0].tolist()
            alone = new_tokens(model, encoded(processor, one), num_beams=2)
            assert beams[row, : alone.shape[1]].tolist() == alone[0].tolist()


@pytest.mark.parametrize(("family", "budget"), BUDGETS, ids=str)
def test_fewer_tokens_are_fed_and_the_answer_depends_on_them(family, budget):
    case = FAMILIES[family]
    model, processor = case.make()
    for name in ("batch", "batch of videos")[: 1 + case.videos]:
        whole = encoded(processor, prompts(case)[name])
        with patched(case, (model, processor), **budget):
            inputs = encoded(processor, prompts(case)[name])
            logits = model(**inputs).logits[:, -1]
            assert inputs["input_ids"].shape[1] < whole["input_ids"].shape[1]
            pixels = next(n for n in ("pixel_values_videos", "pixel_values_images", "pixel_values") if n in inputs)
            other = model(**{**inputs, pixels: inputs[pixels].flip(0, -1)}).logits[:, -1]
            assert (logits - other).abs().max() > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_undo_restores_everything(family):
    case = FAMILIES[family]
    model, processor = case.make()
    before = trace(model, processor)
    for budget in [{"keep": 5}, {"total": 17}][: 1 + case.total]:
        with patched(case, (model, processor), **budget) as handle:
            assert trace(model, processor) != before
            assert model.config.vtc["method"]["name"] == case.method
            assert handle.encoder.tower in [getattr(model.model, name, None) for name in TOWERS]
        assert trace(model, processor) == before
        assert "undone" in repr(handle)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_processor_that_was_not_patched_is_named(family):
    case = FAMILIES[family]
    model, processor = case.make()
    for name, kind in (("one picture", "pictures"), ("video", "videos"))[: 1 + case.videos]:
        inputs = encoded(processor, prompts(case)[name])
        with patched(case, (model, processor), keep=5) as handle:
            pruned = r"\d+ pruned tiles" if case.in_a_row else f"1 pruned {kind}"
            forgotten = rf"the {pruned} make \d+ tokens each; a processor that is not patched writes .*: use the one"
            with pytest.raises(ValueError, match=forgotten) as error:
                model(**inputs)
            shown = (40, 30) if name == "one picture" else (case.frame, case.frame, 3)
            each = case.tokens if case.in_a_row else handle.describe(*shown).tokens_before
            assert f"not patched writes {each} tokens each" in str(error.value)
            assert "vtc_llava.patch(model, processor, keep=5)" in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_deep_copy_is_patched_with_its_own_weights_and_can_be_undone(family):
    case = FAMILIES[family]
    model, processor = case.make()
    patched(case, (model, processor), keep=5)
    inputs = encoded(processor, prompts(case)["batch"])
    expected = model(**inputs).logits
    clone = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    same(clone(**inputs).logits, expected)
    assert clone.vtc.encoder.tower in [getattr(clone.model, name, None) for name in TOWERS]
    clone.vtc.undo()
    assert "vtc" not in bare(clone.config)
    assert model.vtc.keep == 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_16_bit_models_work(family, dtype):
    case = FAMILIES[family]
    model, processor = case.make()
    patched(case, (model.to(dtype), processor), keep=5)
    for prompt in prompts(case).values():
        inputs = encoded(processor, prompt)
        assert model(**inputs).logits.dtype == dtype
        assert new_tokens(model, inputs).shape[0] == len(prompt.text)


@pytest.mark.parametrize("family", FAMILIES)
def test_last_has_a_row_for_every_tile_and_marks_what_is_not_kept(family):
    case = FAMILIES[family]
    model, processor = case.make()
    handle = patched(case, (model, processor), keep=5)
    assert handle.last is None
    model(**encoded(processor, prompts(case)["batch"]))
    features, indices, scores = model.vtc.last
    assert not features.requires_grad
    assert len(indices) == len(scores) == sum(layout.tiles for layout in handle.seen["image"])
    assert scores.shape[1] == case.tokens
    for row in indices.tolist():
        kept = [index for index in row if index >= 0]
        assert kept == sorted(set(kept))
        assert row == kept + [-1] * (len(row) - len(kept))


@pytest.mark.parametrize(("family", "budget"), BUDGETS, ids=str)
def test_labels_give_a_loss_and_gradients_through_every_tower(family, budget):
    case = FAMILIES[family]
    model, processor = case.make()
    patched(case, (model, processor), **budget)
    inputs = encoded(processor, prompts(case)["picture and video" if case.videos else "batch"])
    visual = (inputs["input_ids"] == IMAGE) | (inputs["input_ids"] == VIDEO)
    loss = model(**inputs, labels=inputs["input_ids"].masked_fill(visual, -100)).loss
    loss.backward()
    assert loss.isfinite()
    for tower in {model.vtc.tower(kind) for kind in model.vtc.family.towers}:
        first: Any = layers_of(tower)[0]
        assert first.mlp.fc1.weight.grad.abs().sum() > 0
