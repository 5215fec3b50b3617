"""A patched model in other people's hands: PEFT, accelerate, FSDP2, hooks, checkpointing, pickle, torch.compile."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import accelerate
import peft
import pytest
import torch
from small_models import make_llava, make_processor, make_tower, picture, same
from torch.autograd.graph import saved_tensors_hooks

import vtc_llava
from vtc_torch import PrunedEncoder

METHODS = ("vtc-cls", "norm", "visionzip")  # chooses before the last layer is finished; sees features; merges


def asked(processor, pictures=2):
    texts = ["USER: <image> what ? ASSISTANT:", "USER: <image> how many red star ? ASSISTANT:"][:pictures]
    return processor(images=[*map(picture, range(pictures))], text=texts, return_tensors="pt", padding=True)


def patched(model, method="vtc-cls", keep=5):
    processor = make_processor()
    vtc_llava.patch(model, processor, keep=keep, method=method)
    return asked(processor)


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


@pytest.mark.parametrize("method", METHODS)
def test_another_tower_in_its_place_is_the_one_that_counts(method):
    model: Any = make_llava()
    inputs = patched(model, method)
    before = model(**inputs).logits
    other = copy.deepcopy(model.model.vision_tower)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter *= 1.5
    model.model.vision_tower = other
    assert (model(**inputs).logits - before).abs().max() > 1e-2


@pytest.mark.filterwarnings("ignore:You are calling .generate:UserWarning")  # transformers 5.16's, of "meta"
@pytest.mark.parametrize("method", METHODS)
def test_accelerate_offloads_to_the_cpu(method):
    model: Any = make_llava()
    inputs = patched(model, method)
    expected = model(**inputs).logits
    features = torch.randn(2, 5, 32)
    projected, answers = vtc_llava.project(model, features), answered(model, features)
    model.vtc.undo()
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert model.model.vision_tower.encoder.layers[0].mlp.fc1.weight.is_meta
    same(patched(model, method)["input_ids"], inputs["input_ids"])
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(vtc_llava.project(model, features), projected)
    assert answered(model, features) == answers


def answered(model, features):
    return vtc_llava.answer_from(model, make_processor(), features, ["what ?", "how many ?"], max_new_tokens=4)


PARTS = ("embeddings", "pre_layrnorm", "encoder", "post_layernorm")
MAPS = {
    "the tower on the disk": {"model.vision_tower": "disk"},
    "its encoder on the disk": {f"model.vision_tower.{part}": "disk" if part == "encoder" else "cpu" for part in PARTS},
    "layers on the disk": {
        **{f"model.vision_tower.{part}": "cpu" for part in PARTS if part != "encoder"},
        **{f"model.vision_tower.encoder.layers.{number}": "disk" for number in range(5)},
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", MAPS)
@pytest.mark.parametrize("method", [*METHODS, "prumerge"])  # that one sees the layer after the feature layer, in parts
def test_accelerate_offloads_to_the_disk(method, place, tmp_path):
    model: Any = make_llava()
    inputs = patched(model, method)
    expected = model(**inputs).logits
    model.vtc.undo()
    model.save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    rest = {"model.multi_modal_projector": "disk", "model.language_model": "cpu", "lm_head": "cpu"}
    offloaded, _ = vtc_llava.load(
        str(tmp_path), keep=5, method=method, device_map={**MAPS[place], **rest}, offload_folder=str(tmp_path / "off")
    )
    assert offloaded.model.vision_tower.encoder.layers[3].mlp.fc1.weight.is_meta
    with torch.no_grad():
        torch.testing.assert_close(offloaded(**inputs).logits, expected, rtol=1e-5, atol=1e-5)


FSDP = """
import os, sys
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
sys.path.insert(0, os.getcwd())
import vtc_llava
from small_models import make_llava, make_processor, picture

dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
mesh = init_device_mesh("cpu", (1,))
for method in sys.argv[1:]:
    results = []
    for sharded in (False, True):
        model, processor = make_llava().train(), make_processor()
        if sharded:
            for layer in [*model.model.vision_tower.encoder.layers, *model.model.language_model.layers]:
                fully_shard(layer, mesh=mesh)
            fully_shard(model, mesh=mesh)
        vtc_llava.patch(model, processor, keep=5, method=method)
        pictures, texts = [picture(0), picture(1)], ["USER: <image> what ? ASSISTANT:"] * 2
        inputs = processor(images=pictures, text=texts, return_tensors="pt", padding=True)
        out = model(**inputs, labels=inputs["input_ids"])
        out.loss.backward()
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        full = {name: grad.full_tensor() if sharded else grad for name, grad in grads.items()}
        results.append((out.logits.detach(), full))
    (logits, grads), (sharded_logits, sharded_grads) = results
    torch.testing.assert_close(sharded_logits, logits, rtol=1e-5, atol=1e-5)
    assert any("vision_tower.encoder.layers.3" in name for name in grads) and grads.keys() == sharded_grads.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(sharded_grads[name], grad, rtol=1e-4, atol=1e-5)
    print("same", method)
dist.destroy_process_group()
"""


def test_fsdp2_shards_every_layer_and_trains():
    """In a process of its own: a group is the whole process's."""
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", FSDP, *METHODS, "prumerge"]
    done = subprocess.run(command, cwd=tests, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"same {method}" for method in (*METHODS, "prumerge")]


@pytest.mark.parametrize("keep", [5, 36])
def test_a_hook_on_a_layer_changes_what_it_changes_in_the_stock_model(keep):
    """Every whole layer is called as a module; here with all tokens, where the stock model says what is right."""
    model: Any = make_llava()
    processor = make_processor()
    handle = model.model.vision_tower.encoder.layers[1].register_forward_hook(lambda layer, inputs, out: out / 2)
    stock = model(**asked(processor)).logits
    inputs = patched(model, keep=keep)
    hooked = model(**inputs).logits
    handle.remove()
    assert (hooked - model(**inputs).logits).abs().max() > 1e-2
    if keep == 36:
        torch.testing.assert_close(hooked, stock, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*checkpointing.*deprecated:FutureWarning")  # its new name is not in 5.16
def test_gradient_checkpointing_saves_what_it_saves_in_the_stock_tower():
    """Bytes that backward needs, beside the weights."""

    def kept_for_backward(run):
        sizes = {}
        with saved_tensors_hooks(lambda x: (sizes.setdefault(x.data_ptr(), x.nbytes), x)[1], lambda x: x):
            run().sum().backward()
        return sum(sizes.values())

    tower = make_tower(depth=8).train()
    pixel_values = torch.randn(4, 3, 24, 24, requires_grad=True)
    encoder = PrunedEncoder(tower, 5)
    whole = {}
    for on in (False, True):
        if on:
            tower.gradient_checkpointing_enable({"use_reentrant": False})
        stock = kept_for_backward(lambda: tower(pixel_values, output_hidden_states=True).hidden_states[-2])
        whole[on] = (stock, kept_for_backward(lambda: encoder(pixel_values).features))
    assert whole[True][1] < whole[False][1] / 3
    assert whole[True][0] < whole[False][0] / 3


def test_a_pickled_pair_is_a_patched_pair():
    model: Any = make_llava()
    inputs = patched(model)
    again = pickle.loads(pickle.dumps(model))
    same(again(**inputs).logits, model(**inputs).logits)
    assert again.vtc.model is again
    again.vtc.undo()
    assert "vtc" not in vars(again)


def test_undo_survives_what_was_taken_away_by_hand():
    model: Any = make_llava()
    processor = make_processor()
    handle = vtc_llava.patch(model, processor, keep=5)
    del model.vtc
    handle.undo()
    assert (asked(processor)["input_ids"] == model.config.image_token_id).sum() == 72
    model(**asked(processor))


COMPILE = """
import os, sys
import torch
sys.path.insert(0, os.getcwd())
import vtc_llava
from small_models import make_llava, make_processor, picture

torch.set_num_threads(1)
model, processor = make_llava(), make_processor()
vtc_llava.patch(model, processor, keep=5)
pictures, texts = [picture(0), picture(1)], ["USER: <image> what ? ASSISTANT:"] * 2
inputs = processor(images=pictures, text=texts, return_tensors="pt", padding=True)
pixels = inputs["pixel_values"]
with torch.inference_mode():
    plain = model.get_image_features(pixel_values=pixels).pooler_output
    features = lambda x: model.get_image_features(pixel_values=x).pooler_output
    run = torch.compile(features, fullgraph=True, backend="aot_eager")
    for got, expected in zip(run(pixels), plain, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
print("one graph")
"""


def test_the_features_of_a_patched_llava_compile_as_one_graph():
    tests = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", COMPILE], cwd=tests, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["one graph"]
