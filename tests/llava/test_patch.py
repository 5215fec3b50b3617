"""`vtc_llava.patch` on a small LLaVA-1.5: prompts, logits, answers."""

import pytest
import torch
from small_models import picture, same

import vtc_llava
from vtc_torch import PrunedEncoder, gather

from .asked import IMAGE, PROMPTS, TOKENS, new_tokens, tokenized

GENERATION = {
    "greedy": {"do_sample": False},
    "without cache": {"do_sample": False, "use_cache": False},
    "beams": {"do_sample": False, "num_beams": 3},
    "beam returns": {"do_sample": False, "num_beams": 3, "num_return_sequences": 2},
    "sampling": {"do_sample": True, "temperature": 1.5},
}


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
