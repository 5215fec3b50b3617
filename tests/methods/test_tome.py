"""ToMe and AIM against their authors' code, and their weights against counting."""

import numpy as np
import pytest

from vtc_core.methods import Aim, ToMe, combine
from vtc_core.methods.tome import match, merged, rounds

from .vectors import ATOL, BACKENDS, RTOL, cases, choose, every_backend, seen_of


@every_backend
@pytest.mark.parametrize("case", cases("tome"))
def test_tome_is_the_authors(case, backend):
    v, converted = BACKENDS[backend]
    metric, x = converted(case.inputs["metric"]), converted(case.inputs["features"])
    protected = case.params["class_token"] + case.params["distill_token"]
    first = merged(v, metric, x, case.params["r"][:1], False, protected)
    np.testing.assert_allclose(combine(v, x, first), case.outputs["mean_tokens"], RTOL, ATOL)
    made = merged(v, metric, x, case.params["r"], True, protected)
    np.testing.assert_allclose(combine(v, x, made), case.outputs["tokens"], RTOL, ATOL)
    weights = np.asarray(made.weights)
    np.testing.assert_array_equal(weights.argmax(1), case.outputs["assignment"])
    np.testing.assert_array_equal((weights > 0).sum(2), case.outputs["size"])


@every_backend
@pytest.mark.parametrize("case", cases("aim_merge"))
def test_aim_is_the_authors(case, backend):
    v, converted = BACKENDS[backend]
    x = converted(case.inputs["features"])
    slot, stays, _ = (np.asarray(y) for y in match(v, x, case.params["r"][0]))
    evens = stays[:, : case.outputs["unmerged"].shape[1]] // 2
    np.testing.assert_array_equal(evens, case.outputs["unmerged"])
    for row, (merges, into) in enumerate(zip(case.outputs["merged"], case.outputs["target"], strict=True)):
        np.testing.assert_array_equal(slot[row, 2 * merges], slot[row, 2 * into + 1])
    made = merged(v, x, x, case.params["r"], False)
    np.testing.assert_allclose(combine(v, x, made), case.outputs["tokens"], RTOL, ATOL)


@every_backend
@pytest.mark.parametrize("keep", [1, 5, 16, 31, 33])
def test_as_many_rounds_as_the_budget_needs(keep, backend):
    rng = np.random.default_rng(0)
    keys, x = rng.standard_normal((2, 33, 2, 4)).astype("f4"), rng.standard_normal((2, 33, 8)).astype("f4")
    tome = choose(backend, ToMe(), seen_of(6, 2, 33, keys=keys, features=x), keep)
    aim = choose(backend, Aim(), seen_of(6, 2, 33, projected=x), keep)
    for made in (tome, aim):
        assert made.weights is not None
        assert made.weights.shape == (2, keep, 33)
        np.testing.assert_allclose(made.weights.sum(2), 1, RTOL)
        assert ((made.weights > 0).sum(1) == 1).all(), "every token is in one row"
        np.testing.assert_array_equal(np.take_along_axis(made.weights, made.indices[:, :, None], 2) > 0, True)
    assert tome.weights is not None
    np.testing.assert_allclose(tome.weights.max(2) * (tome.weights > 0).sum(2), 1, RTOL)  # plain means of members


def test_rounds_halve():
    assert rounds(576, 64) == [288, 144, 72, 8]
    assert rounds(49, 13) == [24, 12]
    assert rounds(5, 5) == []
