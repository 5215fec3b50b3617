"""Checkpoints that are not whole, or do not hold together, are refused by the name of what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
import torch
from safetensors.torch import load_file
from small_models import make_tower, pixels, siglip_config
from transformers import SiglipVisionModel

import vtc_torch
from vtc_jax import PrunedEncoder

from ..torch.savers import save_llava, save_llava_published, save_llava_sharded
from .changing import TOWER, WEIGHTS, assert_same, change, configure


def test_missing_tensors_are_named(tmp_path):
    save_llava_published(make_tower(), tmp_path)
    change(tmp_path, drop=[f"{TOWER}encoder.layers.1.mlp.fc1.bias"])
    with pytest.raises(ValueError, match=r"lacks tensors \(1 in all\): .*encoder\.layers\.1\.mlp\.fc1\.bias"):
        PrunedEncoder.from_pretrained(tmp_path, 7)


def test_unknown_tensors_in_the_tower_are_named(tmp_path):
    save_llava_published(make_tower(), tmp_path)
    change(tmp_path, add={f"{TOWER}encoder.layers.1.lora_A": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"tensors that are not known \(1 in all\): .*encoder\.layers\.1\.lora_A"):
        PrunedEncoder.from_pretrained(tmp_path, 7)


def test_layers_beyond_the_configured_depth_are_unknown(tmp_path):
    make_tower().save_pretrained(tmp_path)
    configure(tmp_path, num_hidden_layers=4)
    with pytest.raises(ValueError, match=r"not known \(16 in all\): .*layers\.4\.layer_norm1\.bias.*, \.\.\."):
        PrunedEncoder.from_pretrained(tmp_path, 7)


def test_tensors_of_other_shapes_are_named_with_both_shapes(tmp_path):
    make_tower().save_pretrained(tmp_path)
    configure(tmp_path, intermediate_size=48)
    wrong = r"mlp\.fc1\.weight \(wanted \(48, 32\), found \(64, 32\)\)"
    with pytest.raises(ValueError, match=rf"other shapes than its config\.json says \(12 in all\): .*{wrong}"):
        PrunedEncoder.from_pretrained(tmp_path, 7)


def test_settings_are_refused_before_weights_are_looked_for(tmp_path):
    make_tower().config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"keep must be an integer in \[1, 36\] .*, got 37"):
        PrunedEncoder.from_pretrained(tmp_path, 37)


def test_a_tower_without_cls_is_refused(tmp_path):
    SiglipVisionModel(siglip_config()).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"vision tower of type 'siglip_vision_model'; only CLIP and InternVL towers .* have the CLS"
    ):
        PrunedEncoder.from_pretrained(tmp_path, 7)


def test_projecting_without_a_projector_is_refused(tmp_path):
    make_tower().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has no projector \(multi_modal_projector\.linear_1\.weight\); project=True"):
        PrunedEncoder.from_pretrained(tmp_path, 7, project=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden_layers": 10**9}, r"num_hidden_layers must be an integer in \[1, 10000\], got 1000000000"),
        ({"num_hidden_layers": 9000}, "num_hidden_layers is 9000, and the weights have 5 layers"),
        ({"num_hidden_layers": "5"}, "num_hidden_layers must be an integer of at least 1, got '5'"),
        ({"num_attention_heads": -4}, "num_attention_heads must be an integer of at least 1, got -4"),
        ({"num_attention_heads": 5}, "hidden_size must be a multiple of num_attention_heads, 5, got 32"),
        ({"image_size": -24}, "image_size must be an integer of at least 1, got -24"),
        ({"image_size": 3}, "image_size must be at least patch_size, 4, got 3"),
        ({"image_size": 10**6, "patch_size": 1}, r"position_embedding\.weight \(wanted \(1000000000001, 32\), found"),
    ],
)
def test_numbers_that_cannot_be_are_refused_by_their_keys(settings, message, tmp_path):
    make_tower().save_pretrained(tmp_path)
    configure(tmp_path, **settings)
    with pytest.raises(ValueError, match=message):
        PrunedEncoder.from_pretrained(tmp_path, 7)


@pytest.mark.parametrize("file", ["../outside.safetensors", "/outside.safetensors", "a/../../b.safetensors", 7])
def test_an_index_that_leads_out_of_the_folder_is_refused(file, tmp_path):
    folder = tmp_path / "checkpoint"
    make_tower().save_pretrained(folder)
    (folder / WEIGHTS).rename(tmp_path / "outside.safetensors")
    names = load_file(tmp_path / "outside.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(names, file)}))
    with pytest.raises(ValueError, match=r"must name files of the checkpoint's own folder, got "):
        PrunedEncoder.from_pretrained(folder, 7)


def test_a_projector_of_another_activation_is_refused_by_its_own_key(tmp_path):
    save_llava(make_tower(), tmp_path, projector_hidden_act="relu")
    with pytest.raises(ValueError, match=r"^projector_hidden_act must be one of 'quick_gelu', 'gelu', got 'relu'"):
        PrunedEncoder.from_pretrained(tmp_path, 7, project=True)
    assert PrunedEncoder.from_pretrained(tmp_path, 7).projector is None


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_pixels_that_are_no_floating_point_numbers_are_refused(dtype, tmp_path):
    make_tower().save_pretrained(tmp_path)
    encoder = PrunedEncoder.from_pretrained(tmp_path, 7)
    with pytest.raises(TypeError, match=f"^pixel_values must be an array of floating-point numbers, got {dtype}"):
        encoder(jnp.zeros((1, 3, 24, 24), dtype))


def test_the_command_that_a_message_names_makes_safetensors_of_pickles(tmp_path):
    tower = make_tower()
    save_llava_sharded(tower, tmp_path)
    for file in tmp_path.glob("*.safetensors"):
        torch.save(
            load_file(file), tmp_path / file.name.replace("model", "pytorch_model").replace("safetensors", "bin")
        )
        file.unlink()
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(OSError, match=r"not read: python -m vtc_torch\.unpickle FOLDER writes") as refused:
        PrunedEncoder.from_pretrained(tmp_path, 7)
    words = str(refused.value).partition("python ")[2].partition(" writes")[0].replace("FOLDER", str(tmp_path))
    done = subprocess.run([sys.executable, *words.split()], capture_output=True, text=True, check=True)
    assert [Path(line).name for line in done.stdout.split()] == [
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"
    ]  # fmt: skip
    assert_same(
        PrunedEncoder.from_pretrained(tmp_path, 7)(jnp.asarray(pixels(tower))),
        vtc_torch.PrunedEncoder(tower, 7)(pixels(tower)),
    )


def remove_config(folder):
    (folder / "config.json").unlink()


def remove_weights(folder):
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").touch()


def remove_a_shard(folder):
    save_llava_sharded(make_tower(), folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def put_a_pointer(folder):
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove_config, r"is no checkpoint in the Hugging Face layout: it has no config\.json"),
        (
            remove_weights,
            r"has no model\.safetensors and no model\.safetensors\.index\.json; other formats, such as pyt",
        ),
        (remove_a_shard, r"lacks the file model-00002-of-00002\.safetensors, which holds "),
        (put_a_pointer, r"model\.safetensors is no safetensors file; is it cut short, or a Git LFS pointer\?"),
    ],
)
def test_what_a_folder_lacks_is_said(spoil, message, tmp_path):
    make_tower().save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(OSError, match=message):
        PrunedEncoder.from_pretrained(tmp_path, 7)


def test_a_path_that_is_no_folder_is_no_hub_id(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no folder {tmp_path}/x, and it is no hub id"):
        PrunedEncoder.from_pretrained(Path(tmp_path, "x"), 7)
