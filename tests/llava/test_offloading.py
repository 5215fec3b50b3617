"""A patched model that accelerate offloads."""

from typing import Any

import accelerate
import pytest
import torch
from small_models import make_llava, make_processor, same

import vtc_llava

from .handed import METHODS, patched


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
