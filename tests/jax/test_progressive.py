"""FlowCut in the JAX encoder, outside jit and masked under it, against torch's, which is held to its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from small_models import make_tower, pixels

import vtc_torch
from vtc_core.methods import FlowCut
from vtc_jax import PrunedEncoder, exporting
from vtc_jax.tower import CLIPTower, TowerConfig

from ..torch.eager import FEATURE_TOLERANCE


@pytest.fixture(scope="module")
def tower_and_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tower")
    tower = make_tower(depth=6, dim=16, heads=2, grid=10)
    tower.save_pretrained(folder)
    return tower, folder


def array(x: torch.Tensor) -> jax.Array:
    return jnp.asarray(x.numpy())


@pytest.mark.parametrize(
    ("jit", "batch", "keep", "feature_layer"),
    [
        (False, 4, 9, -2),
        (True, 1, 9, -2),
        (True, 4, 9, -2),
        (True, 2, 1, -1),
        (True, 2, 100, -2),
        (True, 2, 9, (-2, 3, 0)),
        (True, 2, 9, 1),
    ],
    ids=str,
)
def test_equals_torch(tower_and_folder, jit, batch, keep, feature_layer):
    tower, folder = tower_and_folder
    encoder = PrunedEncoder.from_pretrained(folder, keep, "flowcut", feature_layer)
    with torch.inference_mode():
        expected = vtc_torch.PrunedEncoder(tower, keep, FlowCut(), feature_layer)(pixels(tower, batch))
    got = (nnx.jit(encoder) if jit else encoder)(array(pixels(tower, batch)))
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_allclose(got.features, expected.features, rtol=0, atol=FEATURE_TOLERANCE)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-4, atol=1e-5)


def test_outside_jit_layers_work_on_fewer_and_fewer_tokens_and_under_it_on_all(tower_and_folder):
    lengths = []

    def recording(query, keys, values, *, scale, mask=None):
        lengths.append(query.shape[1])
        return jax.nn.dot_product_attention(query, keys, values, scale=scale, mask=mask)

    tower, folder = tower_and_folder
    encoder = PrunedEncoder.from_pretrained(folder, 9, "flowcut", attention=recording)
    pixel_values = array(pixels(tower, 1))
    outside = encoder(pixel_values)
    assert lengths[0] == 101
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-2:] == [65, 10]  # in blocks of 32, and kept ones alone
    lengths.clear()
    under = nnx.jit(encoder)(pixel_values)
    assert lengths == [101] * 4 + [10]
    np.testing.assert_array_equal(outside.indices, under.indices)


def test_s7_a_row_of_nan_and_no_row_at_all(tower_and_folder):
    tower, folder = tower_and_folder
    encoder = PrunedEncoder.from_pretrained(folder, 9, "flowcut")
    pixel_values = array(pixels(tower, 3))
    call = nnx.jit(encoder)
    expected, poisoned = call(pixel_values), call(pixel_values.at[1].set(jnp.nan))
    for row in (0, 2):
        np.testing.assert_array_equal(poisoned.indices[row], expected.indices[row])
        np.testing.assert_allclose(poisoned.features[row], expected.features[row], rtol=0, atol=FEATURE_TOLERANCE)
    assert poisoned.indices[1].tolist() == [*range(9)]
    assert call(pixel_values[:0]).features.shape == (0, 9, 16)


def test_no_row_at_all_outside_jit():
    tower = CLIPTower(TowerConfig(16, 32, 3, 2, image_size=12, patch_size=4), rngs=nnx.Rngs(0))
    assert PrunedEncoder(tower, 4, "flowcut")(jnp.zeros((0, 3, 12, 12))).features.shape == (0, 4, 16)


def test_exported_it_is_the_same(tower_and_folder, tmp_path):
    tower, folder = tower_and_folder
    encoder = PrunedEncoder.from_pretrained(folder, 9, "flowcut")
    encoder.export(tmp_path / "encoder", platforms=("cpu",))
    read = jax.export.deserialize(bytearray((tmp_path / "encoder").read_bytes()))
    pixel_values = array(pixels(tower, 5))
    exporting.compare(read.call(pixel_values), nnx.jit(encoder)(pixel_values))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_16_bits(tower_and_folder, dtype):
    tower, folder = tower_and_folder
    pruned = nnx.jit(PrunedEncoder.from_pretrained(folder, 9, "flowcut", dtype=dtype))(array(pixels(tower, 2)))
    assert pruned.features.dtype == dtype
    assert pruned.scores.dtype == jnp.float32
    assert jnp.isfinite(pruned.features).all()
    assert jnp.isfinite(pruned.scores).all()
