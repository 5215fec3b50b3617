"""A model with stages in use: training, outputs, caches, copies, saving, undoing."""

import copy
import json
from typing import Any

import pytest
import torch
from small_models import same
from transformers import DynamicCache

import vtc_llava
from vtc_core.stages import FastV, PyramidDrop

from .families import FAMILIES, IMAGE, bakllava, text_config
from .families import llava as make_llava
from .prompts import encoded, new_tokens, prompts
from .staged import deep

STAGES = [FastV(layer=1, keep=9)]


@pytest.fixture
def pair():
    return deep()


def asked(processor, name="several pictures"):
    return encoded(processor, prompts(FAMILIES["llava"])[name])


def test_labels_of_text_are_learned_and_dropped_places_have_logits_of_zero(pair):
    model, processor = pair
    vtc_llava.patch(model, processor, stages=STAGES)
    inputs = asked(processor)
    labels = inputs["input_ids"].masked_fill((inputs["input_ids"] == IMAGE) | (inputs["attention_mask"] == 0), -100)
    out = model(**inputs, labels=labels)
    assert out.logits.shape[:2] == labels.shape
    said = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(out.loss, said)
    out.loss.backward()
    for layer in model.model.language_model.layers:
        assert layer.self_attn.q_proj.weight.grad.abs().max() > 0
    tower = model.model.vision_tower.embeddings.patch_embedding.weight
    assert tower.grad.abs().max() > 0
    for row, kept in enumerate(model.vtc.stages_last[1]):
        dropped = (inputs["input_ids"][row] == IMAGE).index_fill(0, kept, False)
        assert dropped.any()
        assert not out.logits[row, dropped].any()
        assert out.logits[row, kept].abs().amax(1).min() > 0


@pytest.mark.filterwarnings("ignore:.*checkpointing.*deprecated:FutureWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_has_the_same_gradients(pair, reentrant):
    model, processor = pair
    vtc_llava.patch(model, processor, stages=["pact:layer=2,cutoff=0.4"])
    grads = []
    for on in (False, True):
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        model.train().zero_grad()
        model(**asked(processor), use_cache=False).logits[:, -1].square().sum().backward()
        grads.append([p.grad.clone() for p in model.model.language_model.parameters() if p.grad is not None])
    for plain, checkpointed in zip(*grads, strict=True):
        torch.testing.assert_close(checkpointed, plain, rtol=1e-4, atol=1e-4)


def test_hidden_states_attentions_and_caches_get_shorter_from_the_layer_on(pair):
    model, processor = pair
    model.set_attn_implementation("eager")
    vtc_llava.patch(model, processor, stages=STAGES)
    inputs = asked(processor, "one picture")
    out = model(**inputs, output_hidden_states=True, output_attentions=True)
    length = inputs["input_ids"].shape[1]
    assert [x.shape[1] for x in out.hidden_states] == [length, length, *[length - 27] * 2, length]
    assert [x.shape[2:] for x in out.attentions] == [(length, length), *[(length - 27, length - 27)] * 3]
    assert [layer.keys.shape[2] for layer in out.past_key_values.layers] == [length, *[length - 27] * 3]
    torch.testing.assert_close(model(**inputs, logits_to_keep=1).logits, out.logits[:, -1:], rtol=1e-5, atol=1e-5)
    assert isinstance(model(**inputs, return_dict=False), tuple)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("stage", ["fastv:layer=1,keep=9", "pact:layer=2,cutoff=0.4"])
def test_attention_implementations_agree(pair, attention, stage):
    model, processor = pair
    vtc_llava.patch(model, processor, stages=[stage])
    expected = model(**asked(processor)).logits
    model.set_attn_implementation(attention)
    torch.testing.assert_close(model(**asked(processor)).logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_and_autocast(pair, dtype):
    model, processor = pair
    vtc_llava.patch(model, processor, stages=["pact:layer=2,cutoff=0.4"])
    with torch.autocast("cpu", dtype=dtype):
        assert model(**asked(processor)).logits.isfinite().all()
    assert model.to(dtype)(**asked(processor)).logits.dtype == dtype


def test_a_conversation_goes_on_with_text_and_is_given_again_for_another_picture(pair):
    model, processor = pair
    vtc_llava.patch(model, processor, stages=STAGES)
    inputs = asked(processor, "one picture")
    first = model.generate(**inputs, max_new_tokens=3, do_sample=False, return_dict_in_generate=True, eos_token_id=None)
    cache = copy.deepcopy(first.past_key_values)
    more = torch.cat([first.sequences, torch.tensor([[8, 9, 10]])], 1)
    mask = torch.ones_like(more)
    again = model.generate(
        input_ids=more, attention_mask=mask, past_key_values=cache, max_new_tokens=3, do_sample=False
    )
    step = model(input_ids=more[:, inputs["input_ids"].shape[1] + 2 :], past_key_values=first.past_key_values)
    assert again[0, more.shape[1]] == step.logits[0, -1].argmax()
    with pytest.raises(
        ValueError, match=r"to an empty cache; this one holds .* second turn with a new picture: give the"
    ):
        model(**inputs, past_key_values=step.past_key_values)


def test_without_a_cache_every_step_is_a_prompt_of_its_own(pair):
    model, processor = pair
    vtc_llava.patch(model, processor, stages=STAGES)
    inputs = asked(processor, "batch")
    ids, mask, pixels = inputs["input_ids"], inputs["attention_mask"], inputs["pixel_values"]
    settings = {"eos_token_id": None, "suppress_tokens": [IMAGE]}
    said = model.generate(**inputs, max_new_tokens=4, do_sample=False, use_cache=False, **settings)
    for _ in range(4):
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=ids, attention_mask=mask, pixel_values=pixels, position_ids=positions).logits[:, -1]
        logits[:, IMAGE] = -torch.inf
        ids = torch.cat([ids, logits.argmax(1, keepdim=True)], 1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
    same(said, ids)


def test_lazy_and_windowed_caches_are_shortened_too():
    """A window longer than the prompt changes nothing; DynamicCache() makes its layers as they come."""
    config = {"num_key_value_heads": 2, "depth": 4}
    wide, processor = bakllava()
    wide = make_llava(text_config=text_config(type(wide.config.text_config), sliding_window=64, **config))[0]
    plain = make_llava(text_config=text_config(type(wide.config.text_config), sliding_window=None, **config))[0]
    plain.load_state_dict(wide.state_dict())
    inputs, said = asked(processor), []
    for model in (wide, plain):
        with vtc_llava.patch(model, processor, stages=STAGES):
            said.append(new_tokens(model, inputs, num_beams=2))
            lazy = model(**inputs, past_key_values=DynamicCache())
            same(lazy.logits, model(**inputs).logits)
    same(*said)


def test_prompt_lookup_says_what_greedy_search_says(pair):
    model, processor = pair
    inputs = asked(processor, "one picture")
    vtc_llava.patch(model, processor, stages=STAGES)
    same(new_tokens(model, inputs, prompt_lookup_num_tokens=2), new_tokens(model, inputs))


def test_stages_and_encoder_side_pruning_go_together(pair):
    model, processor = pair
    with vtc_llava.patch(model, processor, keep=18, method="visionzip:contextual=4", stages=STAGES) as handle:
        logits = model(**asked(processor, "batch")).logits
        assert [len(kept) for kept in handle.stages_last[1]] == [9, 9]
        last: Any = handle.last
        assert last.indices.shape == (2, 18)
    with vtc_llava.patch(model, processor, keep=18, method="visionzip:contextual=4"):
        assert (model(**asked(processor, "batch")).logits - logits)[:, -1].abs().max() > 1e-3


def test_saved_and_loaded_copied_and_undone(pair, tmp_path):
    model, processor = pair
    stock = model(**asked(processor)).logits
    lm = model.model.language_model
    handle = vtc_llava.patch(model, processor, stages=["fastv:layer=1,keep=9", PyramidDrop((2, 3), (0.2, 0.1))])
    expected = model(**asked(processor)).logits
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())["vtc"]
    assert saved["stages"][0] == {"name": "fastv", "layer": 1, "keep": 9}
    loaded, its_processor = vtc_llava.load(str(tmp_path), dtype=torch.float32)
    assert loaded.vtc.settings == handle.settings
    torch.testing.assert_close(loaded(**asked(its_processor)).logits, expected, rtol=1e-5, atol=1e-5)
    other, _ = vtc_llava.load(str(tmp_path), stages=[FastV(layer=3)], dtype=torch.float32)
    assert other.vtc.settings.stages == (FastV(layer=3),)
    none, _ = vtc_llava.load(str(tmp_path), stages=[], dtype=torch.float32)
    torch.testing.assert_close(none(**asked(its_processor)).logits, stock, rtol=1e-5, atol=1e-5)
    twin = copy.deepcopy(model)
    handle.undo()
    same(model(**asked(processor)).logits, stock)
    assert "forward" not in vars(lm)
    same(twin(**asked(processor)).logits, expected)
    assert twin.vtc.stages_last
    assert twin.vtc is not handle
