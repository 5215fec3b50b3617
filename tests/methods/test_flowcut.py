"""FlowCut's arithmetic against the authors' own code, layer by layer on hidden states that do not change."""

from typing import Any

import jax
import numpy as np
import pytest
from array_api_compat import array_namespace

from vtc_core.methods import FlowCut, Seen, flowcut

from .vectors import ATOL, BACKENDS, RTOL, cases, every_backend, seen_of

CASES = cases("flowcut")


def flows_of(backend, case, pack=False) -> list[flowcut.Flow]:
    """What is left after each layer, as NumPy arrays; packed after every cut, or masked."""
    v, converted = BACKENDS[backend]
    inputs = {name: converted(array) for name, array in case.inputs.items()}
    layers, (batch, tokens) = case.params["layers"] - 2, case.outputs["alive"].shape[1:]
    flow = flowcut.every(Seen(*map(converted, seen_of(1, batch, tokens)[:2])))

    def step(flow, query, keys, values, number):
        scale, keep = case.params["scale"], case.params["keep"]
        return flowcut.after_layer(flow, query[:, :, None], keys, values, scale, keep, number, layers)

    step = jax.jit(step, static_argnames="number") if backend == "jax jitted" else step
    flows = []
    for number in range(layers):
        query, keys, values = (inputs[name][number] for name in ("query", "keys", "values"))
        if pack:
            rows = np.arange(batch)[:, None]
            present = np.concatenate([np.zeros((batch, 1), int), 1 + np.asarray(flow.numbers)], 1)
            keys, values = (
                converted(np.asarray(x).swapaxes(1, 2)[rows, present].swapaxes(1, 2)) for x in (keys, values)
            )
        flow = step(flow, query, keys, values, number=number)
        if pack:
            flow, _ = flowcut.packed(v, flow, int(np.asarray(flow.left).sum(1).max()))
        flows.append(flowcut.Flow(*map(np.asarray, flow)))
    return flows


@pytest.fixture
def shared(monkeypatch):
    """The authors' rule for batches: the largest r of all rows, in all rows."""
    own = flowcut.dropping

    def of_all(*args: Any):
        r = own(*args)
        xp = array_namespace(r)
        return xp.zeros_like(r) + xp.max(r)

    monkeypatch.setattr(flowcut, "dropping", of_all)


@every_backend
@pytest.mark.parametrize("case", CASES)
def test_equals_the_authors_code(backend, case, shared):
    flows, expected = flows_of(backend, case), case.outputs
    np.testing.assert_allclose(flows[0].scores, expected["first_scores"], rtol=RTOL, atol=ATOL)
    for flow, alive, count in zip(flows, expected["alive"], expected["counts"], strict=False):
        np.testing.assert_array_equal(flow.left, alive)
        assert (flow.left.sum(1) == count).all()
    kept = np.nonzero(flows[-1].left)[1].reshape(expected["indices"].shape)
    np.testing.assert_array_equal(kept, expected["indices"])
    last = np.take_along_axis(flows[-1].scores, kept, 1)
    np.testing.assert_allclose(last, expected["last_scores"], rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("case", CASES)
def test_packed_is_masked_and_rows_are_independent(backend, case):
    """Each row as the authors' code has it alone; where several rows share an r there, ours differ in their counts."""
    masked, packed = flows_of(backend, case), flows_of(backend, case, pack=True)
    for a, b in zip(masked, packed, strict=True):
        for row in range(len(a.left)):
            left = b.left[row]
            np.testing.assert_array_equal(np.nonzero(a.left[row])[0], b.numbers[row][left])
            np.testing.assert_allclose(a.scores[row][a.left[row]], b.scores[row][left], rtol=RTOL, atol=ATOL)
    assert (masked[-1].left.sum(1) == case.params["keep"]).all()
    batch = len(masked[0].left)
    for row in range(batch) if batch > 1 else ():
        inputs = {name: array[:, row : row + 1] for name, array in case.inputs.items()}
        outputs = {"alive": case.outputs["alive"][:, row : row + 1]}
        for a, b in zip(masked, flows_of(backend, case._replace(inputs=inputs, outputs=outputs)), strict=True):
            np.testing.assert_array_equal(a.left[row], b.left[0])
    if batch == 1:
        for flow, alive in zip(masked, case.outputs["alive"], strict=False):
            np.testing.assert_array_equal(flow.left, alive)


def test_where_rows_share_an_r_the_authors_drop_more():
    """Case 3, three rows: 33 and 26 of 36 tokens are left in all of them; on their own some rows have more."""
    case = next(case.values[0] for case in CASES if case.id == "case03")
    counts = [flow.left.sum(1).tolist() for flow in flows_of("numpy", case)]
    assert counts[1] != [33, 33, 33]
    assert min(counts[1]) == 33


def one(fill=0.0, batch=2, heads=2, tokens=9, head_dim=4, seed=0):
    rng = np.random.default_rng(seed)
    query = rng.standard_normal((batch, heads, 1, head_dim)).astype(np.float32) * fill
    keys, values = (rng.standard_normal((batch, heads, 1 + tokens, head_dim)).astype(np.float32) * fill for _ in "kv")
    return query, keys, values


def through(backend, query, keys, values, keep, layers=6):
    _, converted = BACKENDS[backend]
    batch, tokens = keys.shape[0], keys.shape[2] - 1
    flow = flowcut.every(Seen(*map(converted, seen_of(1, batch, tokens)[:2])))
    for number in range(layers):
        q, k, v = map(converted, (query, keys, values))
        flow = flowcut.after_layer(flow, q, k, v, 0.5, keep, number, layers)
    return flowcut.Flow(*map(np.asarray, flow))


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("tokens", [1, 2, 9, 50])
@pytest.mark.parametrize("fill", [0.0, 1.0, 200.0, np.nan])
def test_exactly_keep_are_left_and_ties_go_to_the_lower_index(backend, tokens, fill):
    """Zeros tie everywhere; at 200 nearly all attention weights underflow to 0."""
    for keep in {1, min(3, tokens), tokens}:
        flow = through(backend, *one(fill, tokens=tokens), keep)
        assert (flow.left.sum(1) == keep).all()
        if fill == 0 or np.isnan(fill):
            assert flow.left[:, :keep].all()
        else:
            assert not np.isnan(flow.scores).any()


def test_no_attention_to_any_token_is_no_nan():
    """CLS attends to itself alone: c is 0 everywhere, the shares of w are left, and nothing is even."""
    query, keys, values = one(1.0, batch=1)
    keys[:, :, 0], keys[:, :, 1:] = 1e4 * query[:, :, 0], 0.0
    share, scores = flowcut.judged(query[:, :, 0], keys, values, 1.0, np.ones((1, 9), bool))
    assert (share == 0).all()
    assert np.isfinite(scores).all()
    assert (scores > 0).any()
    assert flowcut.dropping(share, np.full(1, 9.0, np.float32), 3, 4).tolist() == [3]  # (9 - 3) / 2 (1 - 0)


def test_by_hand():
    """One head, head_dim 1: attention to CLS and two patches is (1/2, 1/4, 1/4), of values (1/3, 1/3, 1/3)."""
    query, keys = np.ones((1, 1, 1)), np.log([2.0, 1.0, 1.0]).reshape(1, 1, 3, 1)
    values = np.array([0.0, -3.0, 5.0]).reshape(1, 1, 3, 1)
    share, scores = flowcut.judged(query, keys, values, 1.0, np.ones((1, 2), bool))
    np.testing.assert_allclose(share, [[0.5, 0.5]])
    np.testing.assert_allclose(scores, [[3.0, 5.0]])  # (1/2 + 1/2) |v|
    even = np.full((1, 8), 1 / 8)
    assert flowcut.dropping(even, np.array([8.0]), 2, 2).tolist() == [0]
    peaked = np.eye(8)[:1]
    assert flowcut.dropping(peaked, np.array([8.0]), 2, 4).tolist() == [3]  # 6 / 2
    assert flowcut.dropping(peaked, np.array([7.0]), 2, 4).tolist() == [2]  # 2.5, to even
    assert flowcut.dropping(even, np.array([8.0]), 2, 0).tolist() == [6]


@pytest.mark.parametrize(
    ("depth", "feature_layer", "layers"), [(24, 23, 22), (24, 24, 23), (5, 1, 1), (1, 1, 1), (6, 2, 1)]
)
def test_layers_are_all_before_the_one_that_makes_the_features(depth, feature_layer, layers):
    assert FlowCut().layers_seen(depth, feature_layer) == tuple(range(layers))


def test_what_is_seen_says_who_is_left():
    scores, kept = np.array([[3.0, np.inf, 0.0, 1.0, np.nan]], np.float32), np.array([[0, 2]])
    seen = flowcut.in_words_of_seen(scores, kept)
    assert seen.tolist() == [[3.0, -1.0, 0.0, -0.5, -1.0]]
    choice = FlowCut().choose(BACKENDS["numpy"][0], seen_of(1, 1, 5, flow=seen), 2)
    assert choice.indices.tolist() == [[0, 2]]
