"""What `vtc_llava.patch` leaves: undo, other instances, copies; and what it says of a processor that it never saw."""

import copy
import re

import pytest
import torch
from small_models import make_llava, make_processor, same

import vtc_llava

from .asked import IMAGE, TOKENS, tokenized


@pytest.mark.parametrize("leave", ["undo", "with", "exception"])
def test_undo_restores_both_and_another_patch_works(pair, leave):
    model, processor = pair
    before = dict(vars(model)), dict(vars(model.model)), dict(vars(processor))
    expected = model(**tokenized(processor, "one")).logits
    if leave == "undo":
        handle = vtc_llava.patch(model, processor, keep=5)
        handle.undo()
        handle.undo()
        assert "undone" in repr(handle)
    elif leave == "with":
        with vtc_llava.patch(model, processor, keep=5) as handle:
            assert tokenized(processor, "one")["input_ids"].shape[1] == 5 + 5
            assert "keep=5 of 36, method='vtc-cls'" in repr(handle)
    else:
        with pytest.raises(RuntimeError), vtc_llava.patch(model, processor, keep=5):
            raise RuntimeError
    assert (dict(vars(model)), dict(vars(model.model)), dict(vars(processor))) == before
    same(model(**tokenized(processor, "one")).logits, expected)
    vtc_llava.patch(model, processor, keep=7).undo()


def test_other_instances_are_untouched(pair):
    model, processor = pair
    other, other_processor = make_llava(), make_processor()
    vtc_llava.patch(model, processor, keep=5)
    inputs = tokenized(other_processor, "one")
    assert (inputs["input_ids"] == IMAGE).sum() == TOKENS
    other(**inputs)
    assert not hasattr(other, "vtc")


def test_a_deep_copy_is_patched_with_its_own_weights(pair):
    model, processor = pair
    vtc_llava.patch(model, processor, keep=5)
    inputs = tokenized(processor, "one")
    expected = model(**inputs).logits
    clone = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    same(clone(**inputs).logits, expected)
    assert clone.vtc.encoder.tower is clone.model.vision_tower


def test_a_processor_that_was_not_patched_is_named(pair):
    model, processor = pair
    inputs = tokenized(processor, "one")
    vtc_llava.patch(model, processor, keep=5)
    forgotten = (
        "the prompt has 36 placeholders, the 1 pruned pictures make 5 tokens each; a processor that is not patched "
        "writes 36 tokens each: use the one that was given to vtc_llava.patch(model, processor, keep=5)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(forgotten)}$"):
        model(**inputs)


def test_ids_that_were_cut_and_pictures_given_twice_are_told_from_that(pair):
    model, processor = pair
    vtc_llava.patch(model, processor, keep=5)
    inputs = tokenized(processor, "one")
    cut = torch.ones_like(inputs["input_ids"], dtype=torch.bool)
    cut[0, (inputs["input_ids"][0] == IMAGE).nonzero()[-2:]] = False
    short = {name: inputs[name][:, cut[0]] for name in ("input_ids", "attention_mask")}
    either = r"either the ids were cut \(truncation, max_length\), or pictures were given twice"
    with pytest.raises(ValueError, match=rf"the prompt has 3 placeholders, the 1 pruned .* 5 tokens each; {either}"):
        model(**short, pixel_values=inputs["pixel_values"])
    twice = inputs["pixel_values"].repeat(2, 1, 1, 1)
    with pytest.raises(ValueError, match=rf"the prompt has 5 placeholders, the 2 pruned .* 5 tokens each; {either}"):
        model(**inputs | {"pixel_values": twice})
