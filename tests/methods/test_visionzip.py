"""VisionZip against its authors' code, and where it is meant to differ."""

import numpy as np
import pytest
from methods.vectors import ATOL, BACKENDS, RTOL, cases, choose, every_backend, seen_of

from vtc_core.methods import Choice, VisionZip, combine


def seen_in(case):
    attention = case.outputs["cls_attention"].mean(1)
    batch, tokens = attention.shape
    keys = case.inputs["keys"].transpose(0, 2, 1, 3)[:, 1:]
    return seen_of(int(tokens**0.5), batch, tokens, cls_attention=attention[..., None], keys=keys)


@every_backend
@pytest.mark.parametrize("case", cases("visionzip"))
def test_equals_the_authors_code(backend, case):
    params, out = case.params, case.outputs
    choice = choose(backend, VisionZip(params["contextual"]), seen_in(case), params["keep"])
    dominant = params["dominant"]
    np.testing.assert_array_equal(choice.indices[:, 0], -1)
    np.testing.assert_array_equal(choice.indices[:, 1:dominant], out["dominant"])
    np.testing.assert_array_equal(choice.indices[:, dominant:], out["anchors"])
    contextual = choice.weights[:, dominant:] > 0
    np.testing.assert_array_equal(np.where(contextual.any(1), contextual.argmax(1), -1), out["assignment"])

    v, converted = BACKENDS[backend]
    features = case.inputs["features"]
    fed = combine(v, converted(features[:, 1:]), Choice(*map(converted, choice)), converted(features[:, 0]))
    np.testing.assert_allclose(np.asarray(fed), out["tokens"], RTOL, ATOL)


def tiny():
    attention = np.array([[0.1, 0.4, 0.2, 0.3]], np.float32)[..., None]
    keys = np.array([[[1, 0], [0, 0], [0, 1], [2, 0]]], np.float32)[:, :, None, :]
    return seen_of(2, 1, 4, cls_attention=attention, keys=keys)


@every_backend
def test_a_small_budget_has_fewer_contextual_rows(backend):
    one = choose(backend, VisionZip(), tiny(), 1)
    assert one.indices.tolist() == [[-1]]
    assert one.weights.tolist() == [[[0, 0, 0, 0]]]
    # CLS; keys 2 and 3 are anchors no more than 1: 4 tokens in 2 slots, 3 is most like 0, 1 has no length.
    three = choose(backend, VisionZip(), tiny(), 3)
    assert three.indices.tolist() == [[-1, 0, 2]]
    assert three.weights.tolist() == [[[0, 0, 0, 0], [1, 0.5, 0, 0.5], [0, 0, 1, 0]]]


@every_backend
def test_no_contextual_rows_is_allowed(backend):
    """A deviation: there it is a division by zero."""
    choice = choose(backend, VisionZip(contextual=0), tiny(), 3)
    assert choice.indices.tolist() == [[-1, 1, 3]]
    assert choice.weights.tolist() == [[[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]]
