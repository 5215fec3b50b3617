"""What only the JAX verbs have: jit in 16 bits, vmap, gradients, XLA's habits. See test_conformance.py for the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import vtc_core
import vtc_jax

INF, NAN = float("inf"), float("nan")


def rows(shape, dtype, seed=0):
    """Multiples of 1/64: sums of them are exact in any order, and many tie."""
    return jnp.asarray(np.random.default_rng(seed).integers(0, 24, shape) / 64, dtype)


def wide(x):
    return np.asarray(x).astype(np.float64)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_prune_equals_the_specification_jitted_in_16_bits(dtype, reduce):
    """test_conformance.py holds the jitted verbs to it in float32, and all others."""
    jitted = jax.jit(vtc_jax.prune, static_argnames=("keep", "reduce"))
    features, cls_attention = rows((5, 49, 6), dtype, 1), rows((3, 5, 4, 49), dtype)
    expected = vtc_core.prune(wide(features), wide(cls_attention), 7, reduce)
    pruned = jitted(features, cls_attention, keep=7, reduce=reduce)
    np.testing.assert_array_equal(pruned.indices, expected.indices)
    np.testing.assert_array_equal(wide(pruned.features), expected.features)
    assert pruned.features.dtype == dtype
    assert pruned.scores.dtype == jnp.float32


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("shape", [(3, 1, 2, 1728), (3, 4, 2, 576), (2, 5, 1, 4099)])
def test_s2_nan_reaches_the_score_of_its_token_in_large_shapes(shape, reduce):
    """XLA's own maximum leaves NaN out there, so that a token that is NaN in all layers would be kept first."""
    cls_attention = rows(shape, jnp.float32).at[:, 0, 0, 5].set(NAN).at[1, -1, -1, -1].set(NAN)
    expected = vtc_core.score(np.asarray(cls_attention), reduce)
    for score in (vtc_jax.score, jax.jit(vtc_jax.score, static_argnames="reduce")):
        np.testing.assert_allclose(score(cls_attention, reduce=reduce), expected, rtol=1e-6)
    kept = vtc_jax.prune(jnp.zeros((*shape[1::2], 1)), cls_attention, 7, reduce).indices
    assert 5 not in kept[0].tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_s3_select_orders_every_value(dtype):
    tiny = float(jnp.finfo(dtype).smallest_subnormal)
    scores = jnp.array([[NAN, -INF, INF, -0.0, 0.0, 1.0, 1.0, NAN, INF, -1.0, tiny, -tiny]], dtype)
    order = [2, 8, 5, 6, 10, 3, 4, 11, 9, 1, 0, 7]  # +inf, ones, zeros between subnormals, -1, -inf, NaN
    for keep in range(1, 13):
        assert vtc_jax.select(scores, keep).tolist() == [sorted(order[:keep])]


def test_verbs_can_be_mapped():
    """Over a leading axis of two, each half as it is alone."""
    features, cls_attention = rows((2, 3, 20, 6), jnp.float32, 1), rows((2, 3, 3, 4, 20), jnp.float32)
    mapped = jax.vmap(lambda f, a: vtc_jax.prune(f, a, 5))(features, cls_attention)
    for half in range(2):
        alone = vtc_jax.prune(features[half], cls_attention[half], 5)
        for a, b in zip(alone, mapped, strict=True):
            np.testing.assert_array_equal(a, b[half])


def test_s5_gather_passes_gradients_to_kept_tokens_only():
    indices = jnp.array([[1, 3]])
    grad = jax.grad(lambda features: vtc_jax.gather(features, indices).sum())(jnp.ones((1, 4, 2)))
    assert grad.tolist() == [[[0, 0], [1, 1], [0, 0], [1, 1]]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_s5_gather_copies_every_number_of_16_bits(dtype):
    bits = np.arange(2**16, dtype=np.uint16).reshape(1, -1, 1)
    features, indices = jnp.asarray(bits.view(jnp.dtype(dtype))), jnp.arange(2**16)[None]
    for gather in (vtc_jax.gather, jax.jit(vtc_jax.gather)):
        np.testing.assert_array_equal(np.asarray(gather(features, indices)).view(np.uint16), bits)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32])
def test_s5_gather_takes_any_integers_of_any_features(kind):
    features = jnp.arange(8).reshape(1, 4, 2)
    assert vtc_jax.gather(features, jnp.array([[1, 3]], kind)).tolist() == [[[2, 3], [6, 7]]]


def test_refusals_reach_the_caller_of_a_jitted_verb():
    message = r"keep must be an integer in \[1, 9\] \(the number of patch tokens\), got 10"
    with pytest.raises(ValueError, match=message):
        jax.jit(vtc_jax.select, static_argnames="keep")(jnp.zeros((2, 9)), keep=10)


def test_pruner_is_prune_with_its_settings():
    features, cls_attention = rows((2, 20, 6), jnp.float32, 1), rows((3, 2, 4, 20), jnp.float32)
    pruner = vtc_jax.Pruner(5, "max")
    for call in (pruner, nnx.jit(pruner)):
        expected = vtc_jax.prune(features, cls_attention, 5, "max")
        for a, b in zip(call(features, cls_attention), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not jax.tree.leaves(nnx.state(pruner))
    assert "keep=5" in repr(pruner)
    assert "reduce='max'" in repr(pruner)


@pytest.mark.parametrize(
    ("settings", "message"),
    [((0,), "keep must be an integer of at least 1, got 0"), ((3, "avg"), "reduce must be one of")],
)
def test_pruner_refuses_bad_settings_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        vtc_jax.Pruner(*settings)
