"""PruMerge and PruMerge+ against their authors' code, and where they are meant to differ."""

import numpy as np
import pytest
from methods.vectors import ATOL, BACKENDS, RTOL, cases, choose, every_backend, seen_of

from vtc_core.methods import PruMerge, PruMergePlus
from vtc_core.methods.prumerge import absorbing, outlier_share

both = pytest.mark.parametrize("case", cases("prumerge") + cases("prumerge_plus"))


def keys_of(case):
    return case.inputs["keys"][:, 1:, None, :]


@every_backend
@both
def test_rows_absorb_what_they_do_in_the_authors_code(backend, case):
    v, converted = BACKENDS[backend]
    weights = absorbing(
        v,
        converted(case.outputs["cls_attention"]),
        converted(keys_of(case)),
        converted(case.outputs["indices"]),
        case.params["neighbours"],
    )
    made = np.asarray(weights) @ case.inputs["features"][:, 1:]
    np.testing.assert_allclose(made, case.outputs["tokens"], RTOL, ATOL)


@every_backend
@pytest.mark.parametrize("case", cases("prumerge"))
def test_equals_the_authors_code_but_for_the_order_of_rows(backend, case):
    attention, wanted = case.outputs["cls_attention"], case.outputs["indices"]
    seen = seen_of(4, *attention.shape, joint_attention=attention[..., None], keys=keys_of(case))
    choice = choose(backend, PruMerge(case.params["neighbours"]), seen, wanted.shape[1] + 1)
    order = np.argsort(wanted, 1)
    np.testing.assert_array_equal(choice.indices[:, :-1], np.take_along_axis(wanted, order, 1))
    np.testing.assert_array_equal(choice.indices[:, -1], -1)
    order = np.concatenate([order, np.full((len(order), 1), wanted.shape[1])], 1)
    tokens = np.take_along_axis(case.outputs["tokens"], order[..., None], 1)
    np.testing.assert_allclose(choice.weights @ case.inputs["features"][:, 1:], tokens, RTOL, ATOL)


@every_backend
@both
def test_outliers_are_the_authors(backend, case):
    """Of one picture; theirs has one share for a batch, whose pictures are here put one after the other."""
    if case.params["adaptive"]:
        _, converted = BACKENDS[backend]
        share = outlier_share(converted(case.outputs["cls_attention"].reshape(1, -1)))
        np.testing.assert_allclose(np.asarray(share), case.outputs["ratio"], 1e-6)


@every_backend
def test_outliers_of_a_picture_do_not_depend_on_others(backend):
    """A deviation: there a batch shares its quartiles."""
    _, converted = BACKENDS[backend]
    attention = np.random.default_rng(0).random((2, 40)).astype(np.float32) ** 8
    share = outlier_share(converted(attention * np.array([[1], [100]], np.float32)))
    first, third = np.percentile(attention, [25, 75], axis=1)
    wanted = (attention > (third + 1.5 * (third - first))[:, None]).mean(1)
    assert wanted.min() > 0
    np.testing.assert_allclose(np.asarray(share), wanted, 1e-6)


def tiny(tokens):
    attention = np.arange(1, tokens + 1, dtype=np.float32)[None, :, None] / 100
    keys = np.stack([np.cos(np.arange(tokens) / 9), np.sin(np.arange(tokens) / 9)], -1).astype(np.float32)
    return seen_of(4, 1, tokens, joint_attention=attention, keys=keys[None, :, None, :])


@every_backend
def test_small_budgets(backend):
    """A budget of 1 is the sum of what is dropped; of few tokens all others are neighbours."""
    choice = choose(backend, PruMerge(), tiny(3), 1)
    assert choice.indices.tolist() == [[-1]]
    np.testing.assert_allclose(choice.weights, [[[0.01, 0.02, 0.03]]], 1e-6)
    choice = choose(backend, PruMerge(), tiny(3), 2)
    assert choice.indices.tolist() == [[2, -1]]
    np.testing.assert_allclose(choice.weights, [[[0.01, 0.02, 1], [0.01, 0.02, 0]]], 1e-6)


@every_backend
def test_plus_keeps_a_quarter_by_attention_and_an_even_grid_of_the_others(backend):
    """Of 10 rows the last is the sum, 3 are the best (13, 14, 15), and 6 lie evenly among tokens 0 to 12."""
    choice = choose(backend, PruMergePlus(neighbours=1), tiny(16), 10)
    assert choice.indices.tolist() == [[0, 2, 4, 6, 8, 10, 13, 14, 15, -1]]
