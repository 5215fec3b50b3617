"""A patched model in other people's hands: FSDP2, hooks, checkpointing, pickle, torch.compile."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import make_llava, make_processor, make_tower, same
from torch.autograd.graph import saved_tensors_hooks

import vtc_llava
from vtc_torch import PrunedEncoder

from .handed import METHODS, asked, patched


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
