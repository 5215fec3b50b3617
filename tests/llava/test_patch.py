"""`vtc_llava.patch` on a small LLaVA-1.5: what it changes and what it leaves."""

import copy
import re

import pytest
import torch
from small_models import make_llava, make_processor, picture, same

import vtc_llava
from vtc_torch import PrunedEncoder, gather

TOKENS, IMAGE = 36, 4

PROMPTS = {
    "one": (["USER: <image> what color ? ASSISTANT:"], [[picture(0)]]),
    "left padded batch": (
        ["USER: <image> what ? ASSISTANT:", "USER: <image> how many red star ? ASSISTANT:"],
        [[picture(0)], [picture(1, 64, 20)]],
    ),
    "several pictures a prompt": (
        ["USER: <image> <image> what ? ASSISTANT:", "USER: how many <image> red star ? ASSISTANT:"],
        [[picture(0), picture(1)], [picture(2)]],
    ),
    "text only": (["USER: what color ? ASSISTANT:", "USER: how many red star ? ASSISTANT:"], None),
}
GENERATION = {
    "greedy": {"do_sample": False},
    "without cache": {"do_sample": False, "use_cache": False},
    "beams": {"do_sample": False, "num_beams": 3},
    "beam returns": {"do_sample": False, "num_beams": 3, "num_return_sequences": 2},
    "sampling": {"do_sample": True, "temperature": 1.5},
}


@pytest.fixture
def pair():
    return make_llava(), make_processor()


def tokenized(processor, prompt):
    text, images = PROMPTS[prompt]
    return processor(text=text, images=images, return_tensors="pt", padding=True)


def new_tokens(model, inputs, **settings):
    torch.manual_seed(0)
    generated = model.generate(**inputs, max_new_tokens=6, **settings)
    return generated[:, inputs["input_ids"].shape[1] :]


def pruned_by_hand(model, inputs, keep):
    """What the patched model must compute: stock projector and language model, on features pruned outside of it."""
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    features = PrunedEncoder(model.model.vision_tower, keep)(inputs["pixel_values"]).features
    embeds[inputs["input_ids"] == IMAGE] = model.model.multi_modal_projector(features).flatten(0, 1)
    text = model.model.language_model(inputs_embeds=embeds, attention_mask=inputs["attention_mask"])
    return model.lm_head(text.last_hidden_state)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_keeping_all_tokens_gives_the_unpatched_logits(pair, prompt):
    model, processor = pair
    before = tokenized(processor, prompt)
    expected = model(**before).logits
    vtc_llava.patch(model, processor, keep=TOKENS)
    inputs = tokenized(processor, prompt)
    for name, tensor in before.items():
        same(inputs[name], tensor)
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", GENERATION.values(), ids=GENERATION.keys())
@pytest.mark.parametrize("prompt", PROMPTS)
def test_keeping_all_tokens_generates_the_same(pair, prompt, settings):
    model, processor = pair
    inputs = tokenized(processor, prompt)
    expected = new_tokens(model, inputs, **settings)
    with vtc_llava.patch(model, processor, keep=TOKENS):
        same(new_tokens(model, tokenized(processor, prompt), **settings), expected)


@pytest.mark.parametrize("keep", [1, 5, 20])
@pytest.mark.parametrize("prompt", ["one", "left padded batch", "several pictures a prompt"])
def test_pruned_logits_are_those_of_the_pruned_features(pair, prompt, keep):
    model, processor = pair
    vtc_llava.patch(model, processor, keep)
    inputs = tokenized(processor, prompt)
    pictures = len(inputs["pixel_values"])
    assert (inputs["input_ids"] == IMAGE).sum() == keep * pictures
    expected = pruned_by_hand(model, inputs, keep)
    mask = inputs["attention_mask"].bool()
    torch.testing.assert_close(model(**inputs).logits[mask], expected[mask], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", [GENERATION["greedy"], GENERATION["without cache"], GENERATION["beams"]])
def test_a_batch_generates_what_its_rows_generate(pair, settings):
    model, processor = pair
    vtc_llava.patch(model, processor, keep=5)
    text, images = PROMPTS["left padded batch"]
    batch = new_tokens(model, processor(text=text, images=images, return_tensors="pt", padding=True), **settings)
    for row, (prompt, image) in enumerate(zip(text, images, strict=True)):
        alone = new_tokens(model, processor(text=[prompt], images=[image], return_tensors="pt"), **settings)
        assert batch[row, : alone.shape[1]].tolist() == alone[0].tolist()


def test_the_cache_gives_what_no_cache_gives(pair):
    model, processor = pair
    vtc_llava.patch(model, processor, keep=5)
    inputs = tokenized(processor, "several pictures a prompt")
    same(new_tokens(model, inputs, do_sample=False), new_tokens(model, inputs, do_sample=False, use_cache=False))


def test_answers_depend_on_the_picture(pair):
    """Or the tests above compare nothing."""
    model, processor = pair
    vtc_llava.patch(model, processor, keep=5)
    text = PROMPTS["one"][0]
    first, second = (model(**processor(text=text, images=picture(n), return_tensors="pt")).logits for n in (0, 1))
    assert (first[:, -1] - second[:, -1]).abs().max() > 1e-2


def test_labels_give_a_loss_and_gradients_through_the_tower(pair):
    model, processor = pair
    vtc_llava.patch(model, processor, keep=5)
    inputs = tokenized(processor, "several pictures a prompt")
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == IMAGE, -100)
    loss = model(**inputs, labels=labels).loss
    loss.backward()
    assert loss.isfinite()
    assert model.model.vision_tower.encoder.layers[0].mlp.fc1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_models_work(pair, dtype):
    model, processor = pair
    vtc_llava.patch(model.to(dtype), processor, keep=5)
    inputs = tokenized(processor, "left padded batch")
    assert model(**inputs).logits.dtype == dtype
    assert new_tokens(model, inputs, do_sample=False).shape == (2, 6)


def test_last_is_what_the_encoder_returned(pair):
    model, processor = pair
    handle = vtc_llava.patch(model, processor, keep=5)
    assert handle.last is None
    inputs = tokenized(processor, "several pictures a prompt")
    model.generate(**inputs, max_new_tokens=2)
    expected = PrunedEncoder(model.model.vision_tower, 5)(inputs["pixel_values"])
    assert handle.last is not None
    for got, wanted in zip(handle.last, expected, strict=True):
        same(got, wanted.detach())
        assert not got.requires_grad
    assert (handle.keep, handle.tokens, model.vtc) == (5, TOKENS, handle)


def test_get_image_features_is_as_the_stock_one(pair):
    model, processor = pair
    pixel_values = tokenized(processor, "several pictures a prompt")["pixel_values"]
    whole = model.get_image_features(pixel_values=pixel_values).pooler_output
    handle = vtc_llava.patch(model, processor, keep=5)
    kept = model.get_image_features(pixel_values=pixel_values, return_dict=True).pooler_output
    assert isinstance(kept, list)
    assert handle.last is not None
    expected = gather(torch.stack(list(whole)), handle.last.indices)
    torch.testing.assert_close(torch.stack(kept), expected, rtol=1e-4, atol=1e-4)
    assert isinstance(model.get_image_features(pixel_values=pixel_values, return_dict=False), tuple)
    with pytest.raises(ValueError, match="vision_feature_layer is fixed while patched: it must be -2, got -1"):
        model.get_image_features(pixel_values=pixel_values, vision_feature_layer=-1)


def test_serving_engines_learn_the_count_without_a_picture(pair):
    model, processor = pair
    vtc_llava.patch(model, processor, keep=5)
    data = processor._get_num_multimodal_tokens(image_sizes=[(30, 40), (500, 300)])
    assert data["num_image_tokens"] == [5, 5]


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
