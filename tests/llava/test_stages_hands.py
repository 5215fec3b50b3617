"""Stages in other people's hands: PEFT, accelerate, FSDP2, hooks on layers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import accelerate
import peft
import pytest
import torch
from small_models import make_llava, make_processor, picture, text_config

import vtc_llava

STAGES = {"fastv": "fastv:layer=1,keep=9", "ahead": "pyramiddrop:layers=1+2,keep=0.5+0.25"}


def pair() -> tuple[Any, Any]:
    return make_llava(text_config=text_config(depth=3)), make_processor()


def asked(processor):
    pictures, texts = [picture(0), picture(1)], ["USER: <image> what ? ASSISTANT:", "<image> how many red star ?"]
    return processor(images=pictures, text=texts, return_tensors="pt", padding=True)


@pytest.mark.filterwarnings("ignore:.*checkpointing.*deprecated:FutureWarning")  # PEFT's
@pytest.mark.parametrize("stage", STAGES.values())
def test_lora_on_the_language_model_acts_on_what_is_kept(stage):
    model, processor = pair()
    vtc_llava.patch(model, processor, stages=[stage])
    inputs = asked(processor)
    before = model(**inputs).logits
    kept = model.vtc.stages_last[1]
    lora = peft.LoraConfig(r=4, target_modules=r".*language_model.*q_proj", init_lora_weights=False)
    wrapped = peft.get_peft_model(model, lora)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.mul_(20)
    assert (wrapped(**inputs).logits - before).abs().max() > 1e-3
    assert any(a.tolist() != b.tolist() for a, b in zip(kept, model.vtc.stages_last[1], strict=True))
    assert wrapped.generate(**inputs, max_new_tokens=2).shape[0] == 2


@pytest.mark.parametrize("first", ["patched", "offloaded"])
@pytest.mark.parametrize("stage", STAGES.values())
def test_accelerate_offloads_to_the_cpu(stage, first):
    model, processor = pair()
    with vtc_llava.patch(model, processor, stages=[stage]):
        inputs = asked(processor)
        expected = model(**inputs).logits
    if first == "patched":
        vtc_llava.patch(model, processor, stages=[stage])
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    if first == "offloaded":
        vtc_llava.patch(model, processor, stages=[stage])
    assert model.model.language_model.layers[1].mlp.up_proj.weight.is_meta
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=1e-5, atol=1e-5)
    assert model.vtc.stages_last


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stage", STAGES.values())
def test_accelerate_offloads_the_language_model_to_the_disk(stage, tmp_path):
    model, processor = pair()
    with vtc_llava.patch(model, processor, stages=[stage]):
        inputs = asked(processor)
        expected = model(**inputs).logits
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    rest = {"model.vision_tower": "cpu", "model.multi_modal_projector": "cpu", "lm_head": "cpu"}
    offloaded: Any = vtc_llava.load(
        str(tmp_path),
        stages=[stage],
        device_map={"model.language_model": "disk", **rest},
        offload_folder=str(tmp_path / "off"),
    )[0]
    assert offloaded.model.language_model.layers[1].mlp.up_proj.weight.is_meta
    with torch.no_grad():
        torch.testing.assert_close(offloaded(**inputs).logits, expected, rtol=1e-5, atol=1e-5)
    assert offloaded.vtc.stages_last
    offloaded.vtc.undo()
    assert offloaded(**inputs).logits.shape == expected.shape


def test_a_hook_on_a_layer_is_run():
    model, processor = pair()
    vtc_llava.patch(model, processor, stages=[STAGES["fastv"]])
    seen = []
    for layer in model.model.language_model.layers:
        layer.register_forward_hook(lambda layer, inputs, output: seen.append(output.shape[1]))
    inputs = asked(processor)
    model(**inputs)
    length = inputs["input_ids"].shape[1]
    assert seen == [length, length - 27, length - 27]
    hooks = [layer.self_attn.q_proj._forward_hooks for layer in model.model.language_model.layers]
    assert not any(hooks)


FSDP = """
import os, sys
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), "llava")]
import vtc_llava
from test_stages_hands import STAGES, asked, pair

dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
mesh = init_device_mesh("cpu", (1,))
for stage in STAGES.values():
    results = []
    for sharded in (False, True):
        model, processor = pair()
        model.train()
        if sharded:
            for layer in model.model.language_model.layers:
                fully_shard(layer, mesh=mesh)
            fully_shard(model, mesh=mesh)
        vtc_llava.patch(model, processor, stages=[stage])
        out = model(**asked(processor))
        out.logits[:, -1].square().sum().backward()
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        full = {name: grad.full_tensor() if sharded else grad for name, grad in grads.items()}
        results.append((out.logits.detach(), full))
    (logits, grads), (sharded_logits, sharded_grads) = results
    torch.testing.assert_close(sharded_logits, logits, rtol=1e-5, atol=1e-5)
    assert grads.keys() == sharded_grads.keys() and model.vtc.stages_last
    for name, grad in grads.items():
        torch.testing.assert_close(sharded_grads[name], grad, rtol=1e-4, atol=1e-5)
    print("same")
dist.destroy_process_group()
"""


def test_fsdp2_shards_every_layer_and_trains():
    """In a process of its own: a group is the whole process's."""
    done = subprocess.run([sys.executable, "-c", FSDP], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["same", "same"]
