"""DivPrune against its authors' code; ToDRE and CATP, which have none, against their formulas; the greedy skeleton."""

import numpy as np
import pytest

import vtc_core
from vtc_core.methods import Catp, DivPrune, ToDre
from vtc_core.methods.greedy import cover, disperse, farthest

from .vectors import ATOL, RTOL, cases, choose, every_backend, seen_of


@every_backend
@pytest.mark.parametrize("case", cases("divprune"))
def test_divprune_is_the_authors(case, backend):
    projected = case.inputs["features"]
    batch, tokens = projected.shape[:2]
    made = choose(backend, DivPrune(), seen_of(4, batch, tokens, projected=projected), case.params["keep"])
    np.testing.assert_allclose(made.scores, case.outputs["nearest"], RTOL, ATOL)
    if case.name == "case06":  # 5 distinct tokens, 8 are wanted: there token 0 four times, here each token once
        assert case.outputs["indices"][0].tolist() == [0, 0, 0, 0, 1, 3, 5, 6]
        assert set(case.outputs["indices"][0].tolist()) <= set(made.indices[0].tolist())
        assert len(set(made.indices[0].tolist())) == 8
    else:
        np.testing.assert_array_equal(made.indices, case.outputs["indices"])


def tokens_of(seed, tokens=40, dim=12, batch=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((batch, tokens, dim)), rng.random((batch, tokens, 1))


def cosines(x):
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return x @ x.T


@every_backend
@pytest.mark.parametrize("keep", [1, 2, 7, 40])
def test_todre_is_its_formula(keep, backend):
    projected, attention = tokens_of(1)
    seen = seen_of(5, 3, 40, projected=projected.astype("f4"), cls_attention=attention.astype("f4"))
    seen = seen._replace(tile=np.repeat([[0, 2]], 20, axis=1).repeat(3, 0))  # a base tile, and another one
    made = choose(backend, ToDre(), seen, keep)
    for row in range(3):
        similar = cosines(projected[row])
        chosen = [int(attention[row, :20, 0].argmax())]
        while len(chosen) < keep:
            free = [j for j in range(40) if j not in chosen]
            chosen.append(min(free, key=lambda j: sum(similar[j, c] for c in chosen)))
        assert made.indices[row].tolist() == sorted(chosen)


@every_backend
@pytest.mark.parametrize("keep", [1, 2, 7, 20, 30, 40])  # late ones: many are pairs that add the same
def test_catp_is_its_formula(keep, backend):
    projected, _ = tokens_of(2)
    made = choose(backend, Catp(), seen_of(5, 3, 40, projected=projected.astype("f4")), keep)
    for row in range(3):
        similar = np.round((1 + cosines(projected[row])) * 2**21) / 2**22
        chosen = []
        while len(chosen) < keep:
            free = [j for j in range(40) if j not in chosen]
            chosen.append(max(free, key=lambda j: similar[:, [*chosen, j]].max(1).sum()))
        assert made.indices[row].tolist() == sorted(chosen)


@pytest.mark.parametrize("rule", [farthest, disperse, cover])
def test_orders_are_nested_and_name_every_token_once(rule):
    projected, attention = tokens_of(3, tokens=30)
    similar = np.stack([(1 + cosines(x)) / 2 for x in projected])
    similar[:, 5] = similar[:, 3]  # equal tokens
    similar[:, :, 5] = similar[:, :, 3]
    start = () if rule is cover else (attention[:, :, 0],)
    orders = [rule(vtc_core, similar, *start, keep) for keep in (1, 2, 9, 30)]
    assert np.sort(orders[-1], 1).tolist() == [list(range(30))] * 3
    for order in orders:
        np.testing.assert_array_equal(order, orders[-1][:, : order.shape[1]])


def test_ties_go_to_the_lower_index_and_nan_to_the_end():
    start = np.array([[1.0, 2.0, 2.0, np.nan]])
    assert farthest(vtc_core, np.zeros((1, 4, 4)), start, 4).tolist() == [[1, 0, 2, 3]]
    similar = np.array([[[np.nan] * 4, [np.nan, 1, 0, 0], [np.nan, 0, 1, 0], [np.nan, 0, 0, 1]]])
    assert disperse(vtc_core, similar, np.array([[0.0, 1.0, 0.0, 0.0]]), 4).tolist() == [[1, 2, 3, 0]]
