"""InternViT in Flax against transformers' own hidden states and attention maps, and squares of patches."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from small_internvl import internvl_config, make_internvl, sharpen_internvl
from small_models import pixels, text_config
from transformers import InternVLConfig, InternVLForConditionalGeneration
from transformers.models.internvl.modeling_internvl import InternVLModel

import vtc_torch
from vtc_core.methods import VtcCls
from vtc_jax import PrunedEncoder
from vtc_jax.internvit import InternViTConfig

from .test_encoder import array, check

FORMS = {
    "as in InternVL3-1B": {},
    "as in InternVL3-38B": {"use_qk_norm": True, "norm_type": "rms_norm"},
    "with biases and a last norm": {"attention_bias": True, "use_mean_pooling": False},
    "without positions": {"use_absolute_position_embeddings": False},
}


@pytest.mark.parametrize("form", FORMS)
def test_kept_patches_have_the_features_of_the_stock_tower(form, tmp_path):
    tower = make_internvl(**FORMS[form])
    tower.save_pretrained(tmp_path)
    for feature_layer in (-1, -2):
        encoder = PrunedEncoder.from_pretrained(tmp_path, 7, VtcCls(2), feature_layer)
        assert isinstance(encoder.tower.config, InternViTConfig)
        check(encoder, tower, pixels(tower), feature_layer, nnx.jit(encoder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A whole InternVL: 6 x 6 patches a tile, which are 9 tokens."""
    path = tmp_path_factory.mktemp("internvl")
    torch.manual_seed(0)
    config = InternVLConfig(vision_config=internvl_config(), text_config=text_config(), image_token_id=4)
    model = InternVLForConditionalGeneration(config).eval()
    sharpen_internvl(model.model.vision_tower)
    model.save_pretrained(path)
    return path


@pytest.mark.parametrize("name", ["vtc-cls", "globalcom2", "vflowopt", "visionzip", "prumerge", "aim"])  # all fields
def test_squares_are_chosen_and_projected_as_in_torch(folder, name):
    ours = PrunedEncoder.from_pretrained(folder, 4, name, project=True)
    theirs = vtc_torch.PrunedEncoder.from_pretrained(str(folder), 4, name, project=True)
    with torch.inference_mode():
        expected = theirs(pixels(theirs.tower))
    got = ours(array(pixels(theirs.tower)))
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got.features, expected.features, rtol=0, atol=2e-5)


def test_all_squares_are_what_the_stock_model_makes(folder):
    stock: Any = InternVLModel.from_pretrained(folder).eval()
    encoder = PrunedEncoder.from_pretrained(folder, 9, project=True)
    assert encoder.tokens == 9
    with torch.inference_mode():
        expected = stock.get_image_features(pixels(stock.vision_tower)).pooler_output
    np.testing.assert_allclose(encoder(array(pixels(stock.vision_tower))).features, expected, rtol=0, atol=2e-5)


def test_it_is_exported(folder, tmp_path):
    from jax import export

    encoder = PrunedEncoder.from_pretrained(folder, 4, project=True)
    encoder.export(tmp_path / "encoder", platforms=("cpu",))
    encode = export.deserialize(bytearray((tmp_path / "encoder").read_bytes())).call
    picture = jnp.asarray(np.random.default_rng(0).standard_normal((3, 3, 24, 24)), jnp.float32)
    np.testing.assert_allclose(encode(picture)[0], encoder(picture).features, rtol=0, atol=2e-5)


def test_refusals(folder):
    with pytest.raises(ValueError, match=r"keep must be an integer in \[1, 9\] .*, got 10"):
        PrunedEncoder.from_pretrained(folder, 10)
    with pytest.raises(ValueError, match="method 'flowcut' drops patches inside the encoder, one by one, and tokens"):
        PrunedEncoder.from_pretrained(folder, 4, "flowcut")
