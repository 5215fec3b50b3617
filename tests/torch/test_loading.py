"""`PrunedEncoder.from_pretrained` on every layout in which a CLIP tower is found."""

import json
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import clip_config, make_llava, make_tower, pixels, siglip_config
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionModelWithProjection,
    SiglipVisionModel,
)

from vtc_torch import PrunedEncoder


def save_llava(tower, folder, **settings):
    model = make_llava(vision_config=tower.config, **settings)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.save_pretrained(folder)


def rename(folder, old, new):
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {k.replace(old, new): v for k, v in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"}
    )


def save_clip_vision(tower, folder):
    tower.save_pretrained(folder)


def save_clip_vision_old(tower, folder):
    tower.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    save_file({f"vision_model.{k}": v for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def save_clip(tower, folder):
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "vocab_size": 9, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=tower.config.to_dict()))
    model.vision_model.load_state_dict(tower.state_dict())
    model.save_pretrained(folder)


def save_clip_with_projection(tower, folder):
    model = CLIPVisionModelWithProjection(tower.config)
    model.vision_model.load_state_dict(tower.state_dict())
    model.save_pretrained(folder)


def save_llava_published(tower, folder):
    save_llava(tower, folder)
    rename(folder, "vision_tower.", "vision_tower.vision_model.")


def save_llava_sharded(tower, folder):
    save_llava_published(tower, folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    index = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"model-{number:05}-of-00002.safetensors"
        save_file({k: tensors[k] for k in part}, folder / shard, {"format": "pt"})
        index.update(dict.fromkeys(part, shard))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


SAVERS = [
    save_clip_vision,
    save_clip_vision_old,
    save_clip,
    save_clip_with_projection,
    save_llava,
    save_llava_published,
    save_llava_sharded,
]


@pytest.mark.parametrize("save", SAVERS, ids=lambda f: f.__name__)
def test_reads_the_tower_of(save, tmp_path, capfd):
    tower = make_tower()
    save(tower, tmp_path)
    capfd.readouterr()
    encoder = PrunedEncoder.from_pretrained(str(tmp_path), keep=7)
    assert "LOAD REPORT" not in "".join(capfd.readouterr()), "the language model's tensors were reported"
    with torch.inference_mode():
        got, expected = encoder(pixels(tower)), PrunedEncoder(tower, 7)(pixels(tower))
    assert torch.equal(got.indices, expected.indices)
    assert torch.equal(got.features, expected.features)
    assert not encoder.training


def test_the_feature_layer_is_the_checkpoints_own_unless_given(tmp_path):
    save_llava(make_tower(), tmp_path, vision_feature_layer=-3)
    assert PrunedEncoder.from_pretrained(str(tmp_path), 7, 1).layers == (2,)
    assert PrunedEncoder.from_pretrained(str(tmp_path), 7, 1, feature_layer=-1).layers == (4,)


def test_model_kwargs_reach_transformers(tmp_path):
    make_tower().save_pretrained(tmp_path)
    encoder = PrunedEncoder.from_pretrained(str(tmp_path), 7, dtype=torch.bfloat16, attn_implementation="eager")
    assert next(encoder.parameters()).dtype == torch.bfloat16
    assert cast(Any, encoder.tower).config._attn_implementation == "eager"


def test_missing_tensors_are_named(tmp_path):
    save_llava_published(make_tower(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["vision_tower.vision_model.encoder.layers.1.mlp.fc1.bias"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks tensors of its vision tower .*encoder\.layers\.1\.mlp\.fc1\.bias"):
        PrunedEncoder.from_pretrained(str(tmp_path), 7)


def test_settings_are_refused_before_weights_are_read(tmp_path):
    clip_config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"keep must be an integer in \[1, 36\] .*, got 37"):
        PrunedEncoder.from_pretrained(str(tmp_path), 37)


def test_a_tower_without_cls_is_refused(tmp_path):
    siglip = SiglipVisionModel(siglip_config())
    siglip.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="vision tower of type 'siglip_vision_model'; only CLIP towers"):
        PrunedEncoder.from_pretrained(str(tmp_path), 7)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises((OSError, ValueError), match=str(tmp_path)):
        PrunedEncoder.from_pretrained(str(tmp_path), 7)
