"""Every clause of the specification against numbers worked out by hand."""

import ml_dtypes
import numpy as np
import pytest

from vtc_core import Pruned, attend, gather, prune, resolve_layers, score, select

NAN, INF = np.nan, np.inf


def test_s1_attend_is_softmax_over_cls_and_patches_with_cls_dropped():
    # logits ln 1, ln 2, ln 5 at scale 1: softmax 1/8, 2/8, 5/8; the first is CLS.
    query = np.array([[[1.0]]])
    keys = np.log([[[[1.0], [2.0], [5.0]]]])
    np.testing.assert_allclose(attend(query, keys, 1.0), [[[2 / 8, 5 / 8]]], rtol=1e-15)


def test_s1_attend_scales_the_dot_product():
    # q . k = 2 ln 3 for the patch and 0 for CLS, scale 1/2: softmax 1/4, 3/4.
    query = np.array([[[1.0, 1.0]]])
    keys = np.array([[[[0.0, 0.0], [np.log(3), np.log(3)]]]])
    np.testing.assert_allclose(attend(query, keys, 0.5), [[[0.75]]], rtol=1e-15)


def test_s1_attend_survives_large_logits():
    query, keys = np.array([[[1000.0]]], np.float32), np.array([[[[1.0], [1.0], [0.0]]]], np.float32)
    np.testing.assert_array_equal(attend(query, keys, 1.0), np.array([[[0.5, 0.0]]], np.float32))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_s1_attend_is_float32_for_narrow_inputs(dtype):
    # In float16 the logit 11 x 300 x 300 would be inf and the softmax NaN.
    query, keys = np.full((1, 1, 11), 300, dtype), np.full((1, 1, 3, 11), 300, dtype)
    row = attend(query, keys, 1.0)
    assert row.dtype == np.float32
    np.testing.assert_allclose(row, [[[1 / 3, 1 / 3]]], rtol=1e-6)


@pytest.mark.parametrize(
    ("reduce", "expected"), [("sum", [4.5, 5.5]), ("mean", [2.25, 2.75]), ("max", [3.0, 4.5]), ("min", [1.5, 1.0])]
)
def test_s2_score_is_head_mean_then_reduce(reduce, expected):
    # layers 2, batch 1, heads 2, tokens 2; head means: layer 0 (1.5, 1), layer 1 (3, 4.5).
    cls_attention = np.array([[[[1.0, 2.0], [2.0, 0.0]]], [[[2.0, 4.0], [4.0, 5.0]]]])
    np.testing.assert_array_equal(score(cls_attention, reduce), [expected])


def test_s2_score_sums_by_default():
    np.testing.assert_array_equal(score(np.ones((3, 1, 2, 4))), np.full((1, 4), 3.0))


def test_s2_float16_is_accumulated_in_float32():
    # 2048 + 1 is 2048 in float16: accumulated there, both tokens would tie and token 0 be kept.
    cls_attention = np.array([[[[2048.0, 2048.0]]], [[[0.0, 1.0]]]], np.float16)
    scores = score(cls_attention)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, [[2048.0, 2049.0]])
    np.testing.assert_array_equal(select(scores, 1), [[1]])


def test_s2_float64_stays_float64():
    cls_attention = np.array([[[[1.0, 1.0]]], [[[0.0, 2.0**-40]]]])
    assert score(cls_attention).dtype == np.float64
    np.testing.assert_array_equal(select(score(cls_attention), 1), [[1]])


@pytest.mark.parametrize(
    ("scores", "keep", "kept"),
    [
        ([0.1, 0.9, 0.5, 0.7], 2, [1, 3]),  # raster order, not score order
        ([0.7, 0.1, 0.9], 2, [0, 2]),
        ([1, 1, 1, 1], 2, [0, 1]),  # ties: lower index
        ([0, 1, 0, 1, 0], 3, [0, 1, 3]),
        ([-0.0, 0.0, -0.0], 1, [0]),  # -0.0 equals 0.0
        ([0.0, -0.0, 1.0], 2, [0, 2]),
        ([-0.0, 0.0, 1.0], 2, [0, 2]),
        ([1.0, INF, 2.0], 1, [1]),
        ([NAN, -INF, 1.0], 2, [1, 2]),  # NaN below -inf
        ([NAN, -INF, NAN], 2, [0, 1]),
        ([NAN, NAN, NAN], 2, [0, 1]),
        ([INF, NAN, INF, 0.0], 3, [0, 2, 3]),
        ([5.0], 1, [0]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_s3_select(scores, keep, kept, dtype):
    indices = select(np.array([scores], dtype), keep)
    assert indices.dtype.kind == "i"
    np.testing.assert_array_equal(indices, [kept])


def test_s3_the_sign_of_nan_does_not_matter():
    scores = np.array([[np.nan, 1.0, -np.nan, 0.0]])
    scores[0, 2] = np.copysign(np.nan, -1)
    np.testing.assert_array_equal(select(scores, 3), [[0, 1, 3]])


def test_s4_keeping_all_tokens_is_the_identity():
    features = np.random.default_rng(0).standard_normal((2, 6, 3))
    pruned = prune(features, np.random.default_rng(1).random((2, 2, 4, 6)), 6)
    np.testing.assert_array_equal(pruned.indices, [np.arange(6)] * 2)
    np.testing.assert_array_equal(pruned.features, features)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.complex64])
def test_s5_gather_copies_bit_for_bit_in_its_own_dtype(dtype):
    features = np.arange(24).reshape(2, 4, 3).astype(dtype)
    kept = gather(features, np.array([[0, 3], [1, 2]]))
    assert kept.dtype == dtype
    assert kept.tolist() == [[[0, 1, 2], [9, 10, 11]], [[15, 16, 17], [18, 19, 20]]]
    kept[:] = 0
    assert features[0, 3].tolist() == [9, 10, 11], "a view, not a copy"


def test_s5_gather_keeps_nan_payloads_and_minus_zero():
    bits = np.array([0x7FC00001, 0xFFC00002, 0x80000000], np.uint32)
    features = bits.view(np.float32).reshape(1, 3, 1)
    np.testing.assert_array_equal(gather(features, np.array([[0, 1, 2]])).view(np.uint32).ravel(), bits)


@pytest.mark.parametrize(
    ("layers", "depth", "feature_layer", "expected"),
    [
        (3, 24, -2, (20, 21, 22)),  # the paper's K on LLaVA-1.5
        (1, 24, -2, (22,)),  # FasterVLM
        (23, 24, -2, tuple(range(23))),
        (2, 24, -1, (22, 23)),
        (2, 24, 23, (21, 22)),  # hidden_states[23] is what layer 22 makes
        (1, 24, 1, (0,)),
        (1, 24, -24, (0,)),
        ((-2, -4), 24, -2, (20, 22)),  # as attentions[-2], attentions[-4]
        ([5, 0], 7, -2, (0, 5)),
        (np.int64(2), 7, -2, (4, 5)),
    ],
)
def test_s6_resolve_layers(layers, depth, feature_layer, expected):
    assert resolve_layers(layers, depth, feature_layer) == expected


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_s7_a_row_depends_on_that_row_alone(batch):
    rng = np.random.default_rng(batch)
    features, cls_attention = rng.standard_normal((batch, 9, 4)), rng.random((3, batch, 2, 9))
    whole = prune(features, cls_attention, 4)
    assert whole.indices.shape == (batch, 4)
    for row in range(batch):
        alone = prune(features[row : row + 1], cls_attention[:, row : row + 1], 4)
        for one, many in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(one[0], many[row])


def test_s8_kept_tokens_are_the_tokens():
    features = np.random.default_rng(0).standard_normal((2, 9, 4)).astype(np.float16)
    pruned = prune(features, np.random.default_rng(1).random((1, 2, 2, 9)), 3)
    assert isinstance(pruned, Pruned)
    for row in range(2):
        np.testing.assert_array_equal(pruned.features[row], features[row, pruned.indices[row]])


def test_s9_same_inputs_same_bits():
    rng = np.random.default_rng(3)
    features, cls_attention = rng.standard_normal((2, 9, 4)), rng.random((3, 2, 2, 9), np.float32)
    first, second = prune(features, cls_attention, 4), prune(features.copy(), cls_attention.copy(), 4)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_keep_may_be_a_numpy_integer():
    np.testing.assert_array_equal(select(np.array([[1.0, 2.0]]), np.int32(1)), [[1]])
