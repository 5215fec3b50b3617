"""The verbs against the specification, where ONNX Runtime is known to be weak: ties, NaN, dtypes, odd arrays."""

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import vtc_core
import vtc_onnx
from vtc_onnx import graph, sessions

EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True, database=None)
DTYPES = [np.dtype(name) for name in vtc_onnx.dtypes]
INF, NAN = np.inf, np.nan


@st.composite
def scores_and_keep(draw):
    """Few different numbers, so that many tie, or any bits at all."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.tuples(st.integers(0, 3), st.integers(1, 40)))
    few = st.sampled_from([NAN, -INF, -1.0, -0.0, 0.0, 1.0, INF])
    anything = hnp.from_dtype(np.dtype(f"u{dtype.itemsize}"))
    if draw(st.booleans()):
        return draw(hnp.arrays(dtype, shape, elements=few)), draw(st.integers(1, shape[1]))
    bits = draw(hnp.arrays(f"u{dtype.itemsize}", shape, elements=anything))
    return bits.view(dtype), draw(st.integers(1, shape[1]))


@EXAMPLES
@given(scores_and_keep())
def test_s3_select_is_that_of_the_specification(example):
    scores, keep = example
    np.testing.assert_array_equal(vtc_onnx.select(scores, keep), vtc_core.select(scores, keep))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_s3_the_whole_order_at_once(dtype):
    """+inf, then numbers, zeros of both signs as equals, the lowest number, -inf, then NaN of any sign and payload."""
    lowest = np.finfo(dtype).min
    scores = np.array([[NAN, -INF, lowest, -0.0, 0.0, -0.0, 1.0, INF, -NAN, -INF, INF]], dtype)
    order = [7, 10, 6, 3, 4, 5, 2, 1, 9, 0, 8]  # of a reader with a pencil
    for keep in range(1, 12):
        assert vtc_onnx.select(scores, keep).tolist() == [sorted(order[:keep])]


@pytest.mark.parametrize("reduce", ["max", "min"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_s2_nan_in_any_layer_reaches_the_score(reduce, place):
    cls_attention = np.ones((3, 2, 4, 40), np.float32)
    cls_attention[place, 0, 1, ::3] = NAN
    expected = vtc_core.score(cls_attention, reduce)
    assert np.isnan(expected[0, ::3]).all()
    np.testing.assert_array_equal(vtc_onnx.score(cls_attention, reduce), expected)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_s5_indices_may_be_integers_of_any_kind(kind):
    features = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    indices = np.array([[0, 2], [1, 2]], kind)
    np.testing.assert_array_equal(vtc_onnx.gather(features, indices), vtc_core.gather(features, indices))


@pytest.mark.parametrize("kind", ["int8", "uint16", "int64", "bool", "float16", "float64"])
def test_s5_features_may_be_numbers_of_any_kind(kind):
    features = np.random.default_rng(0).integers(0, 2, (2, 5, 3)).astype(kind)
    indices = np.array([[0, 3], [2, 4]])
    got = vtc_onnx.gather(features, indices)
    assert got.dtype == features.dtype
    np.testing.assert_array_equal(got, vtc_core.gather(features, indices))


def test_arrays_that_are_not_contiguous_are_read_right():
    rng = np.random.default_rng(0)
    features, cls_attention = rng.random((9, 3, 2), np.float32).T[..., ::-1].T, rng.random((9, 4, 2, 2), np.float32).T
    features = features.transpose(2, 0, 1)
    assert not features.flags.c_contiguous
    assert not cls_attention.flags.c_contiguous
    for got, expected in zip(
        vtc_onnx.prune(features, cls_attention, 4), vtc_core.prune(features, cls_attention, 4), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_indices_are_numpys_own_int64():
    """onnxruntime's are of another type that is as wide, and not the same to type checkers."""
    assert vtc_onnx.select(np.ones((1, 3), np.float32), 2).dtype.type is np.int64


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_dtypes_that_onnxruntime_lacks_are_refused_by_name(dtype):
    scores = np.zeros((1, 3), getattr(ml_dtypes, dtype))
    message = rf"scores must be of a dtype that onnxruntime takes \(float16, float32, float64\), got {dtype}"
    with pytest.raises(TypeError, match=message):
        vtc_onnx.select(scores, 1)


def test_a_session_serves_every_shape_and_budget():
    sessions.session.cache_clear()
    for batch, tokens in ((0, 3), (1, 9), (5, 576)):
        for keep in (1, 2, 3):
            vtc_onnx.select(np.zeros((batch, tokens), np.float32), keep)
    assert sessions.session.cache_info().misses == 1
    vtc_onnx.select(np.zeros((1, 3), np.float16), 1)
    assert sessions.session.cache_info().misses == 2


@pytest.mark.parametrize("verb", ["attend", "score", "select", "gather", "prune"])
def test_a_verb_is_a_valid_model_with_named_axes(verb):
    arguments = {
        "attend": ("query", "keys", "scale"),
        "score": ("cls_attention",),
        "select": ("scores", "keep"),
        "gather": ("features", "indices"),
        "prune": ("features", "cls_attention", "keep"),
    }[verb]
    integers = {"keep", "indices"}
    model = graph.verb(verb, "max", **{x: np.dtype("int64" if x in integers else "float32") for x in arguments})
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 10  # the last that onnxruntime 1.20 loads
    assert [(x.domain, x.version) for x in model.opset_import] == [("", 20)]
    assert [x.name for x in model.graph.input] == list(arguments)
    named = {
        x.name: [d.dim_param for d in x.type.tensor_type.shape.dim] for x in [*model.graph.input, *model.graph.output]
    }
    assert all(all(axes) for axes in named.values())
    if verb == "prune":
        assert named["kept"] == ["batch", "keep", "dim"]
        assert named["indices"] == ["batch", "keep"]
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_a_pruner_is_prune_with_its_settings():
    rng = np.random.default_rng(0)
    features, cls_attention = rng.random((2, 9, 3), np.float32), rng.random((3, 2, 4, 9), np.float32)
    pruner = vtc_onnx.Pruner(np.int64(4), "max")
    assert repr(pruner) == "Pruner(keep=4, reduce='max')"
    for got, expected in zip(
        pruner(features, cls_attention), vtc_onnx.prune(features, cls_attention, 4, "max"), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match=r"keep must be an integer of at least 1, got 0"):
        vtc_onnx.Pruner(0)
    with pytest.raises(ValueError, match=r"keep must be an integer in \[1, 3\]"):
        pruner(features[:, :3], cls_attention[..., :3])
