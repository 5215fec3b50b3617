"""A patched model under PEFT."""

from typing import Any

import peft
import pytest
import torch
from small_models import make_llava, make_processor, same

import vtc_llava

from .handed import patched


@pytest.mark.filterwarnings("ignore")  # PEFT's remarks on what it saves
def test_peft_trains_a_copy_of_the_tower_and_loads_it(tmp_path):
    """`modules_to_save` replaces the tower: it is looked up at every call, not held from patch time."""
    model: Any = make_llava()
    inputs = patched(model)
    before = model(**inputs).logits
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["vision_tower"], init_lora_weights=False)
    wrapped = peft.get_peft_model(model, config)
    wrapped(**inputs, labels=inputs["input_ids"]).loss.backward()
    trained = {name for name, p in wrapped.named_parameters() if "vision_tower" in name and p.grad is not None}
    useful = {f"layers.{number}." for number in range(4)}  # of 5: nothing is fed of the last
    assert all(any(part in name for name in trained) for part in ("class_embedding", *useful))
    assert not any("layers.4." in name or "original_module" in name for name in trained)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if name in trained:
                parameter += 0.1
    expected = wrapped(**inputs).logits
    assert (expected - before).abs().max() > 1e-2
    wrapped.save_pretrained(tmp_path)

    again: Any = make_llava()
    same(patched(again)["input_ids"], inputs["input_ids"])
    torch.testing.assert_close(peft.PeftModel.from_pretrained(again, tmp_path)(**inputs).logits, expected)


@pytest.mark.filterwarnings("ignore:.*checkpointing.*deprecated:FutureWarning")  # PEFT's
def test_lora_on_the_towers_projections_acts():
    model: Any = make_llava()
    inputs = patched(model)
    before = model(**inputs).logits
    lora = peft.LoraConfig(r=2, target_modules=r".*vision_tower.*(q_proj|k_proj)", init_lora_weights=False)
    assert (peft.get_peft_model(model, lora)(**inputs).logits - before).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore:.*checkpointing.*deprecated:FutureWarning")
def test_a_peft_model_is_refused_by_the_name_of_what_to_pass():
    wrapped = peft.get_peft_model(make_llava(), peft.LoraConfig(r=2, target_modules=["q_proj"]))
    with pytest.raises(TypeError, match=r"must be a LlavaForConditionalGeneration, got PeftModel: pass its get_base_"):
        vtc_llava.patch(wrapped, make_processor(), keep=5)
    vtc_llava.patch(wrapped.get_base_model(), make_processor(), keep=5)
