"""HoloV against its authors' code, and where it is meant to differ."""

import numpy as np
import pytest
from methods.vectors import ATOL, BACKENDS, RTOL, cases, choose, every_backend, seen_of

from vtc_core.methods import HoloV
from vtc_core.methods.holov import chunk_scores, quotas


def seen_in(case):
    attention = case.inputs["cls_attention"].mean(1)
    projected = case.inputs["features"]
    return seen_of(4, *attention.shape, cls_attention=attention[..., None], projected=projected)


@every_backend
@pytest.mark.parametrize("case", cases("holov"))
def test_equals_the_authors_code(backend, case):
    params, wanted = case.params, case.outputs["indices"]
    choice = choose(backend, HoloV(params["chunks"], params["alpha"]), seen_in(case), params["keep"])
    for ours, theirs in zip(choice.indices, wanted, strict=True):
        theirs = theirs[theirs >= 0]
        if len(theirs) == len(ours):
            np.testing.assert_array_equal(ours, np.sort(theirs))
        else:  # a deviation: there zero vectors are fed
            assert set(ours) > set(theirs)


@every_backend
@pytest.mark.parametrize("case", cases("holov"))
def test_chunks_have_the_authors_scores_and_quotas(backend, case):
    _, converted = BACKENDS[backend]
    attention, projected = case.inputs["cls_attention"].mean(1), case.inputs["features"]
    scores = chunk_scores(converted(attention), converted(projected), case.params["chunks"], case.params["alpha"])
    np.testing.assert_allclose(np.asarray(scores), case.outputs["chunk_scores"], RTOL, ATOL)
    np.testing.assert_array_equal(np.asarray(quotas(scores, case.params["keep"])), case.outputs["quota"])


@every_backend
def test_what_a_full_chunk_cannot_take_goes_to_the_others(backend):
    """Nearly all attention is in the first of two chunks, whose quota, 4, is more than its 3 tokens."""
    attention = np.array([[0.3, 0.3, 0.3, 0.0, 0.01, 0.0]], np.float32)
    seen = seen_of(3, 1, 6, cls_attention=attention[..., None], projected=np.eye(6, dtype=np.float32)[None])
    assert choose(backend, HoloV(chunks=2), seen, 4).indices.tolist() == [[0, 1, 2, 4]]
