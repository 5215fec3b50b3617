"""`PrunedEncoder.from_pretrained` on every layout in which a CLIP tower is found, without torch or transformers."""

import json
import shutil
import subprocess
import sys

import huggingface_hub
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import make_tower, pixels

import vtc_tiny
import vtc_torch
from vtc_jax import PrunedEncoder
from vtc_jax.checkpoint import Checkpoint

from ..torch.savers import SAVERS, rename, save_llava, save_llava_published
from .changing import TOWER, WEIGHTS, assert_same, change, configure


@pytest.mark.parametrize("save", SAVERS, ids=lambda f: f.__name__)
def test_reads_the_tower_of(save, tmp_path):
    tower = make_tower()
    save(tower, tmp_path)
    encoder = PrunedEncoder.from_pretrained(tmp_path, keep=7)
    assert encoder.layers == (1, 2, 3)
    assert_same(encoder(jnp.asarray(pixels(tower))), vtc_torch.PrunedEncoder(tower, 7)(pixels(tower)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("published", [True, False])
def test_projects_the_kept_tokens_as_llava_does(bias, published, tmp_path):
    tower = make_tower()
    save_llava(tower, tmp_path, multimodal_projector_bias=bias)
    from transformers import LlavaForConditionalGeneration

    projector = LlavaForConditionalGeneration.from_pretrained(tmp_path).model.multi_modal_projector
    if not published:
        rename(tmp_path, "multi_modal_projector.", "model.multi_modal_projector.")
    expected = vtc_torch.PrunedEncoder(tower, 7)(pixels(tower))
    got = PrunedEncoder.from_pretrained(tmp_path, 7, project=True)(jnp.asarray(pixels(tower)))
    assert_same(got, expected._replace(features=projector(expected.features)))


def test_the_feature_layer_is_the_checkpoints_own_unless_given(tmp_path):
    save_llava(make_tower(), tmp_path, vision_feature_layer=-3)
    assert PrunedEncoder.from_pretrained(tmp_path, 7, "fastervlm").layers == (2,)
    assert PrunedEncoder.from_pretrained(tmp_path, 7, "fastervlm", feature_layer=-1).layers == (4,)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_16_bits_stay_16_bits_unless_a_dtype_is_given(stored, tmp_path):
    make_tower().to(stored).save_pretrained(tmp_path)
    own, given = (PrunedEncoder.from_pretrained(tmp_path, 7, dtype=dtype) for dtype in (None, jnp.float32))
    name = str(stored).removeprefix("torch.")
    for encoder, dtype in ((own, name), (given, "float32")):  # traced, not run
        assert jax.eval_shape(encoder, jnp.zeros((1, 3, 24, 24))).features.dtype == dtype
    kernel = given.tower.layers[0].mlp.fc1.kernel[...]
    np.testing.assert_array_equal(own.tower.layers[0].mlp.fc1.kernel[...].astype(jnp.float32), kernel)


def test_only_tensors_that_are_used_are_read(tmp_path, monkeypatch):
    """Neither the language model, nor the layer after the feature layer, nor, unasked for, the projector."""
    save_llava_published(make_tower(), tmp_path)
    read = []
    tensors = Checkpoint.tensors

    def recording(self, names):
        for name, tensor in tensors(self, names):
            read.append(name)
            yield name, tensor

    monkeypatch.setattr(Checkpoint, "tensors", recording)
    PrunedEncoder.from_pretrained(tmp_path, 7)
    assert {name.removeprefix(TOWER).partition(".")[0] for name in read} == {"embeddings", "pre_layrnorm", "encoder"}
    assert {name.split(".")[4] for name in read if ".layers." in name} == set("0123")


def test_from_the_hub_only_files_that_are_used_are_fetched(tmp_path, monkeypatch):
    """A stand-in for the hub: a folder of which the files that were asked for are copied."""
    hub, cache = tmp_path / "hub", tmp_path / "cache"
    save_llava_published(make_tower(), hub)
    tensors = load_file(hub / WEIGHTS)
    (hub / WEIGHTS).unlink()
    tower = [name for name in tensors if name.startswith(TOWER)]
    projector = [name for name in tensors if name.startswith("multi_modal_projector.")]
    weight_map = {}
    for file, names in (("a", tower[::2]), ("b", tower[1::2]), ("c", projector)):
        save_file({name: tensors[name] for name in names}, hub / f"{file}.safetensors")
        weight_map |= dict.fromkeys(names, f"{file}.safetensors")
    weight_map["language_model.model.norm.weight"] = "d.safetensors"
    (hub / "d.safetensors").write_bytes(b"never fetched")
    (hub / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    def snapshot_download(repo, allow_patterns, **hub_kwargs):
        assert (repo, hub_kwargs) == ("owner/name", {"revision": "v1"})
        cache.mkdir(exist_ok=True)
        for name in allow_patterns:
            if (hub / name).exists():
                shutil.copy(hub / name, cache)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    PrunedEncoder.from_pretrained("owner/name", 7, revision="v1")
    assert {path.stem for path in cache.glob("*.safetensors")} == {"a", "b"}
    PrunedEncoder.from_pretrained("owner/name", 7, revision="v1", project=True)
    assert {path.stem for path in cache.glob("*.safetensors")} == {"a", "b", "c"}


def test_no_torch_and_no_transformers_are_imported():
    program = (
        "import sys, vtc_jax\n"
        f"vtc_jax.PrunedEncoder.from_pretrained({str(vtc_tiny.PATH)!r}, 16, project=True)\n"
        "print(*({'torch', 'transformers'} & set(sys.modules)), 'none besides')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["none", "besides"]


def test_tensors_of_layers_that_are_not_used_may_be_absent(tmp_path):
    tower = make_tower()
    save_llava_published(tower, tmp_path)
    change(tmp_path, drop=["language_model.", f"{TOWER}encoder.layers.4.", f"{TOWER}post_layernorm."])
    change(tmp_path, add={f"{TOWER}embeddings.position_ids": torch.arange(37)[None]})  # as old checkpoints have it
    got = PrunedEncoder.from_pretrained(tmp_path, 7)(jnp.asarray(pixels(tower)))
    assert_same(got, vtc_torch.PrunedEncoder(tower, 7)(pixels(tower)))


def test_several_feature_layers_of_a_checkpoint_are_its_own(tmp_path):
    tower = make_tower()
    save_llava(tower, tmp_path)
    configure(tmp_path, vision_feature_layer=[-3, 0])
    encoder = PrunedEncoder.from_pretrained(tmp_path, 7)
    assert encoder.feature_layers == (3, 0)
    expected = vtc_torch.PrunedEncoder(tower, 7, feature_layer=(-3, 0))(pixels(tower))
    assert_same(encoder(jnp.asarray(pixels(tower))), expected)
