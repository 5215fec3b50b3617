"""Stages that do not fit a model, and prompts that cannot be shortened, are refused in a sentence."""

import pytest
import torch
from transformers import GPTNeoXConfig

import vtc_llava
from vtc_core.stages import FastV
from vtc_llava.staging import checked_stages
from vtc_vllm.settings import served

from .families import FAMILIES, text_config
from .prompts import encoded, prompts
from .staged import deep

STAGES = [FastV(layer=1, keep=9)]


@pytest.fixture
def pair():
    return deep()


REFUSED = [
    ({"stages": "fastv:layer=4"}, r"before a layer in \[1, 3\] of a language model of 4 layers, got 4"),
    ({"stages": ["fastv", FastV()]}, "stages must cut before different layers, got 'fastv' and 'fastv' before layer 2"),
    ({"stages": ["slowv"]}, "stage must be one of fastv, .*, got 'slowv'"),
    ({"stages": [], "keep": None}, "exactly one of keep"),
    ({"stages": STAGES, "keep": 5, "total": 7}, "exactly one of keep"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=str)
def test_settings_that_are_refused(pair, settings, message):
    with pytest.raises(ValueError, match=message):
        vtc_llava.patch(*pair, **settings)
    assert "vtc" not in vars(pair[0])


def test_language_models_of_another_form_are_named():
    config = text_config(GPTNeoXConfig)
    with pytest.raises(
        ValueError, match=r"llama, mistral, qwen2 \(LlamaModel, MistralModel, Qwen2Model\), got 'gpt_neox'"
    ):
        checked_stages(config, STAGES)


def test_what_a_prompt_cannot_be_shortened_with(pair):
    model, processor = pair
    inputs = encoded(processor, prompts(FAMILIES["llava"])["several pictures"])
    vtc_llava.patch(model, processor, stages=["pact:layer=2"])
    with pytest.raises(ValueError, match=r"takes a cache that grows \(DynamicCache\), got StaticCache of StaticLayer"):
        model.generate(**inputs, max_new_tokens=2, cache_implementation="static")
    with pytest.raises(ValueError, match=r"attention_mask of shape \(2, \d+\) as the prompt, got \(2, 1, "):
        model(**{**inputs, "attention_mask": torch.ones(2, 1, 9, 9)})
    packed = torch.arange(inputs["input_ids"].shape[1]).remainder(40)[None]
    with pytest.raises(ValueError, match="one prompt a row: position_ids must ascend"):
        model(**{**inputs, "position_ids": packed})
    model.model.language_model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(
        ValueError, match="adds to attention logits: attn_implementation must be one of sdpa, eager, got"
    ):
        model(**inputs)


def test_vllm_refuses_them_in_one_sentence(pair):
    vtc_llava.patch(*pair, stages=STAGES)
    with pytest.raises(ValueError, match="stages run inside transformers' language model, which vLLM has its own of"):
        served(pair[0].config, "saved")
