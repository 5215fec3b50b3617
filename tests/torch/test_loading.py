"""`PrunedEncoder.from_pretrained` on every layout in which a CLIP tower is found."""

import json
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import clip_config, make_llava, make_siglip, make_tower, pixels
from transformers import (
    Siglip2VisionConfig,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from vtc_core.methods import VtcCls
from vtc_torch import PrunedEncoder, held

from .savers import (
    SAVERS,
    SIGLIP_SAVERS,
    rename,
    save_family,
    save_llava,
    save_llava_published,
    save_llava_sharded,
    save_siglip_llava,
    save_siglip_llava_published,
    save_vision,
)


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
    assert PrunedEncoder.from_pretrained(str(tmp_path), 7, VtcCls(1)).layers == (2,)
    assert PrunedEncoder.from_pretrained(str(tmp_path), 7, VtcCls(1), feature_layer=-1).layers == (4,)


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


@pytest.mark.parametrize(("save", "feature_layer"), SIGLIP_SAVERS, ids=lambda f: getattr(f, "__name__", f))
def test_reads_the_siglip_tower_of(save, feature_layer, tmp_path, capfd):
    tower = make_siglip()
    save(tower, tmp_path)
    capfd.readouterr()
    encoder = PrunedEncoder.from_pretrained(str(tmp_path), keep=7, method="received")
    assert "LOAD REPORT" not in "".join(capfd.readouterr()), "tensors beside the tower were reported"
    with torch.inference_mode():
        expected = PrunedEncoder(tower, 7, feature_layer=feature_layer, method="received")(pixels(tower))
        got = encoder(pixels(tower))
    assert torch.equal(got.indices, expected.indices)
    assert torch.equal(got.features, expected.features)
    assert not encoder.training


def test_several_feature_layers_of_a_checkpoint_are_its_own(tmp_path):
    tower = make_tower(depth=12, dim=16, heads=2)
    save_family(VipLlavaForConditionalGeneration, VipLlavaConfig, tower, tmp_path)
    encoder = PrunedEncoder.from_pretrained(str(tmp_path), 7)
    assert encoder.feature_layers == (11, 8, 5, 2, 6)
    assert encoder.layers == (8, 9, 10)
    assert encoder(pixels(tower)).features.shape == (2, 7, 5 * 16)


def test_missing_tensors_of_siglip_are_named(tmp_path):
    save_siglip_llava_published(make_siglip(), tmp_path)
    rename(tmp_path, "layers.1.mlp.fc1", "layers.1.mlp.fc9")
    with pytest.raises(
        ValueError, match=r"lacks tensors of its vision tower \(2 in all\): .*layers\.1\.mlp\.fc1\.bias"
    ):
        PrunedEncoder.from_pretrained(str(tmp_path), 7, method="received")


@pytest.mark.parametrize("save", [save_vision, save_siglip_llava], ids=lambda f: f.__name__)
def test_a_tower_without_cls_is_refused_by_methods_that_look_at_it(save, tmp_path):
    save(make_siglip(), tmp_path)
    (tmp_path / "model.safetensors").unlink()  # before weights are read
    with pytest.raises(ValueError, match=r"\(siglip_vision_model\) has no CLS token, and method 'vtc-cls' looks at it"):
        PrunedEncoder.from_pretrained(str(tmp_path), 7)


def test_other_towers_are_refused_by_type(tmp_path):
    Siglip2VisionConfig().save_pretrained(tmp_path)
    for method in ("vtc-cls", "received"):
        with pytest.raises(ValueError, match="vision tower of type 'siglip2_vision_model'; only CLIP and InternVL"):
            PrunedEncoder.from_pretrained(str(tmp_path), 7, method)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises((OSError, ValueError), match=str(tmp_path)):
        PrunedEncoder.from_pretrained(str(tmp_path), 7)


def test_a_llavas_projector_is_read_with_its_tower_and_projects_what_is_kept(tmp_path):
    tower = make_tower()
    save_llava_published(tower, tmp_path)
    encoder = PrunedEncoder.from_pretrained(str(tmp_path), 7, project=True)
    projector = make_llava(vision_config=tower.config).model.multi_modal_projector
    with torch.inference_mode():
        got, features = encoder(pixels(tower)), PrunedEncoder(tower, 7)(pixels(tower)).features
        assert torch.equal(got.features, projector(features))


def test_there_is_no_projector_to_be_read_in_a_tower(tmp_path):
    save_vision(make_siglip(), tmp_path)
    with pytest.raises(ValueError, match="must be a LLaVA to have its projector read alone, got model_type 'siglip_v"):
        PrunedEncoder.from_pretrained(str(tmp_path), 7, "received", project=True)


def test_missing_tensors_of_the_projector_are_named(tmp_path):
    save_llava_published(make_tower(), tmp_path)
    rename(tmp_path, "projector.linear_2", "projector.linear_9")
    lacks = r"lacks tensors of its projector \(2 in all\): multi_modal_projector\.linear_2\.bias"
    with pytest.raises(ValueError, match=lacks):
        PrunedEncoder.from_pretrained(str(tmp_path), 7, project=True)


def test_code_that_comes_with_a_checkpoint_is_never_run_whatever_is_passed(tmp_path):
    save_llava(make_tower(), tmp_path)
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\nclass Own: pass\n")
    config = json.loads((tmp_path / "config.json").read_text())
    trusting: dict[str, Any] = {"trust_remote_code": True}
    for more, works in (({"auto_map": {"AutoModel": "own.Own"}}, True), ({"model_type": "own"}, False)):
        config |= {"auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}} | more
        (tmp_path / "config.json").write_text(json.dumps(config))
        if works:
            assert PrunedEncoder.from_pretrained(str(tmp_path), 7, project=True, **trusting).tokens == 36
        else:
            with pytest.raises(ValueError, match="code that comes with a checkpoint is never run here"):
                PrunedEncoder.from_pretrained(str(tmp_path), 7, **trusting)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("save", [save_llava_sharded, save_llava])
def test_headers_are_those_of_all_weights(save, tmp_path):
    save(make_tower(), tmp_path)
    found = held.headers(str(tmp_path))
    tensors = {name: tensor for file in tmp_path.glob("*.safetensors") for name, tensor in load_file(file).items()}
    assert {name: header.shape for name, header in found.items()} == {n: tuple(t.shape) for n, t in tensors.items()}
    assert {header.dtype for header in found.values()} == {"F32"}


def test_a_shard_that_an_index_names_and_the_folder_lacks(tmp_path):
    save_llava_sharded(make_tower(), tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks the file model-00002-of-00002\.safetensors, which model\.sa"):
        PrunedEncoder.from_pretrained(str(tmp_path), 7)
