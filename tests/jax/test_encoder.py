"""`PrunedEncoder` against an oracle from transformers' own eager attention maps and hidden states."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from small_models import make_tower, pixels
from transformers import CLIPVisionConfig, CLIPVisionModel

import vtc_jax
import vtc_tiny
import vtc_torch
from vtc_core.methods import VtcCls
from vtc_jax import PrunedEncoder
from vtc_jax.tower import CLIPTower, Tower, TowerConfig

from ..torch.eager import FEATURE_TOLERANCE, oracle


def whole(folder, **settings) -> Tower:
    """All layers of a checkpoint."""
    return PrunedEncoder.from_pretrained(folder, 1, feature_layer=-1, **settings).tower


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """The same tower in torch and in JAX: 5 layers of 4 heads, 36 patches."""
    folder = tmp_path_factory.mktemp("tower")
    tower = make_tower()
    tower.save_pretrained(folder)
    return tower, whole(folder)


def array(x: torch.Tensor) -> jax.Array:
    return jnp.asarray(x.numpy())


def check(encoder, tower, pixel_values, feature_layer=-2, call=None):
    """The encoder keeps what the oracle keeps, with the unpruned features."""
    expected = oracle(tower, pixel_values, encoder.keep, encoder.method, feature_layer)
    pruned = (call or encoder)(array(pixel_values))
    np.testing.assert_array_equal(pruned.indices, expected.indices)
    np.testing.assert_allclose(pruned.features, expected.features, rtol=0, atol=FEATURE_TOLERANCE)
    np.testing.assert_allclose(pruned.scores, expected.scores, rtol=1e-5, atol=1e-6)


def test_the_whole_tower_makes_the_hidden_states_of_transformers(towers):
    theirs, ours = towers
    with torch.no_grad():
        expected = theirs(pixels(theirs), output_hidden_states=True).hidden_states
    got = ours(array(pixels(theirs)))
    assert len(got) == len(expected) == 6
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=FEATURE_TOLERANCE)


@pytest.mark.parametrize("layers", [1, 2, 4, (0,), (3, 0), (1, 2), (-2, -5)], ids=str)
def test_s6_every_choice_of_layers(towers, layers):
    check(PrunedEncoder(towers[1], 7, VtcCls(layers)), towers[0], pixels(towers[0]))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("keep", [1, 12, 36])
def test_s8_every_reduce_and_keep(towers, reduce, keep):
    check(PrunedEncoder(towers[1], keep, VtcCls(reduce=reduce)), towers[0], pixels(towers[0]))


@pytest.mark.parametrize("feature_layer", [-1, -4, 1, 3, (-2, -5, 1), (0, -2)], ids=str)
def test_s6_every_feature_layer(towers, feature_layer):
    encoder = PrunedEncoder(towers[1], 7, VtcCls(1), feature_layer)
    check(encoder, towers[0], pixels(towers[0]), feature_layer)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_s8_jitted_in_every_batch_size(towers, batch):
    encoder = PrunedEncoder(towers[1], 7)
    check(encoder, towers[0], pixels(towers[0], batch), call=nnx.jit(encoder))


def test_s8_gelu_other_heads_and_pixels_that_fill_no_patch(tmp_path):
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=3,
        image_size=23,
        patch_size=4,
        hidden_act="gelu",
        layer_norm_eps=1e-3,
    )
    tower = CLIPVisionModel(config).eval()
    with torch.no_grad():  # so that scores are apart
        tower.embeddings.position_embedding.weight.mul_(25)
    tower.save_pretrained(tmp_path)
    encoder = PrunedEncoder.from_pretrained(tmp_path, 5, VtcCls(2))
    assert encoder.tokens == 25
    check(encoder, tower, pixels(tower), call=nnx.jit(encoder))


def test_s7_an_empty_batch(towers):
    encoder = PrunedEncoder(towers[1], 7)
    for call in (encoder, nnx.jit(encoder)):
        assert [x.shape for x in call(jnp.zeros((0, 3, 24, 24)))] == [(0, 7, 32), (0, 7), (0, 36)]


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_s8_16_bits_keep_their_dtype_and_the_unpruned_features(towers, tmp_path, dtype):
    towers[0].save_pretrained(tmp_path)
    tower = whole(tmp_path, dtype=dtype)
    pixel_values = array(pixels(towers[0]))
    pruned = PrunedEncoder(tower, 7)(pixel_values)
    unpruned = tower(pixel_values)[-2][:, 1:]
    assert pruned.features.dtype == dtype
    assert pruned.scores.dtype == jnp.float32
    difference = jnp.abs(pruned.features - vtc_jax.gather(unpruned, pruned.indices)).max()
    assert difference <= 8 * jnp.finfo(dtype).eps * jnp.abs(unpruned).max()


def test_gradients_are_those_of_the_unpruned_encoder_at_the_kept_tokens(towers):
    tower, pixel_values = towers[1], array(pixels(towers[0]))
    encoder = PrunedEncoder(tower, 7)
    indices = encoder(pixel_values).indices

    def of_pruned(x):
        return jnp.square(encoder(x).features).sum()

    def of_whole(x):
        return jnp.square(vtc_jax.gather(tower(x)[-2][:, 1:], indices)).sum()

    got, expected = (jax.jit(jax.grad(of))(pixel_values) for of in (of_pruned, of_whole))
    assert jnp.abs(got).max() > 0
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_another_attention_function_is_called_with_kept_queries_only_in_the_last_useful_layer(tmp_path):
    """`jax.nn.dot_product_attention` is one; here it is the default one of JAX, which runs everywhere."""
    lengths = []

    def recording(query, keys, values, *, scale):
        lengths.append((query.shape[1], keys.shape[1]))
        return jax.nn.dot_product_attention(query, keys, values, scale=scale)

    tower = make_tower()
    tower.save_pretrained(tmp_path)
    check(PrunedEncoder.from_pretrained(tmp_path, 7, attention=recording), tower, pixels(tower))
    assert lengths == [(37, 37), (37, 37), (37, 37), (7, 37)]


def test_the_shipped_checkpoint_gives_what_torch_gives():
    settings: dict[str, Any] = {"keep": 16, "method": "vtc-cls:layers=3"}
    pixel_values = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = vtc_torch.PrunedEncoder.from_pretrained(str(vtc_tiny.PATH), **settings)(pixel_values)
    got = nnx.jit(PrunedEncoder.from_pretrained(vtc_tiny.PATH, **settings))(array(pixel_values))
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_allclose(got.features, expected.features, rtol=0, atol=1e-4)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 37}, r"keep must be an integer in \[1, 36\] \(the number of patch tokens\), got 37"),
        ({"method": VtcCls(5)}, r"layers must be an integer in \[1, 4\] \(the layers up to the feature layer\), got 5"),
        ({"method": VtcCls((4,))}, r"layer 4 comes after the feature layer \(layer 3 of 5\)"),
        ({"method": "vtc-cls:reduce=avg"}, "reduce must be one of 'sum', 'mean', 'max', 'min', got 'avg'"),
        ({"feature_layer": 0}, r"feature_layer must be an integer in \[1, 5\] or \[-5, -1\]"),
    ],
)
def test_refuses_settings_that_do_not_fit_the_tower(towers, arguments, message):
    with pytest.raises(ValueError, match=message):
        PrunedEncoder(towers[1], **{"keep": 7, **arguments})


@pytest.mark.parametrize("shape", [(1, 3, 24, 28), (1, 3, 48, 48), (1, 24, 24, 3)])
@pytest.mark.parametrize("jit", [False, True])
def test_refuses_pictures_of_another_size(towers, shape, jit):
    encoder = PrunedEncoder(towers[1], 7)
    with pytest.raises(ValueError, match=rf"pictures of 24 x 24 pixels, got {shape[2]} x {shape[3]}"):
        (nnx.jit(encoder) if jit else encoder)(jnp.zeros(shape))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act must be one of 'quick_gelu', 'gelu', got 'gelu_new'"),
        ({"num_attention_heads": 5}, "num_attention_heads must divide hidden_size, got 5 and 768"),
    ],
)
def test_refuses_towers_that_clip_does_not_have(changed, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(functools.partial(CLIPTower, TowerConfig(**changed), rngs=nnx.Rngs(0)))
