"""VFlowOpt's first stage against its authors' code, and where it is meant to differ."""

import numpy as np
import pytest
from methods.vectors import ATOL, BACKENDS, RTOL, cases, choose, every_backend, seen_of

from vtc_core.methods import VFlowOpt
from vtc_core.methods.vflowopt import sinks


def attention(case):
    """Mean over heads, in float64: tiles, rows that ask, columns."""
    query, keys = (case.inputs[name].astype(float) for name in ("query", "keys"))
    logits = case.params["scale"] * query @ keys.swapaxes(2, 3)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)).mean(1)


def sequence(case):
    """Features, places and tile of the authors' sequence: the base tile, and the joined crops with their newlines."""
    side, down, across = (case.params[name] for name in ("side", "grid_rows", "grid_columns"))
    features = case.inputs["features"]
    dim = features.shape[-1]
    joined = features[1:].reshape(down, across, side, side, dim).transpose(0, 2, 1, 3, 4)
    joined = joined.reshape(down * side, across * side, dim)
    newlines = np.broadcast_to(case.inputs["newline"], (down * side, 1, dim))
    joined = np.concatenate([joined, newlines], 1)
    places = [np.stack(np.divmod(np.arange(h * w), w), -1) for h, w in ((side, side), joined.shape[:2])]
    tile = np.repeat([0, 1], [side * side, len(places[1])])
    return np.concatenate([features[0], joined.reshape(-1, dim)]), np.concatenate(places), tile


@every_backend
@pytest.mark.parametrize("case", cases("vflowopt"))
def test_equals_the_authors_code_at_the_number_of_rows_that_it_makes(backend, case):
    features, places, tile = sequence(case)
    weights = case.outputs["sequence_importance"]
    seen = seen_of(places[None], 1, len(tile), sink_attention=weights[None, :, None], projected=features[None])
    seen = seen._replace(tile=tile[None])
    choice = choose(backend, VFlowOpt(cell=case.params["cell"]), seen, case.params["kept"])
    np.testing.assert_array_equal(choice.indices[0], case.outputs["indices"])
    np.testing.assert_allclose(choice.weights[0] @ features, case.outputs["tokens"], RTOL, ATOL)
    np.testing.assert_array_equal(choice.scores[0][choice.indices[0]], case.outputs["kept_importance"])


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("case", cases("vflowopt"))
def test_sinks_are_the_authors(backend, case):
    _, converted = BACKENDS[backend]
    maps = attention(case)
    found = np.asarray(sinks(converted(maps.mean(1).astype(np.float32)), case.params["t"]))
    np.testing.assert_array_equal(found, case.outputs["global_rows"])
    importance = np.stack([map_[rows].mean(0) for map_, rows in zip(maps, found, strict=True)])
    entropy = np.exp(case.inputs["entropy"].astype(float))
    importance += case.params["alpha"] * entropy / entropy.sum(-1, keepdims=True)  # of no weight as published
    np.testing.assert_allclose(importance, case.outputs["importance"], RTOL, ATOL)


@every_backend
def test_the_token_that_receives_most_is_a_sink_if_there_is_none(backend):
    """A deviation: there everything is NaN."""
    _, converted = BACKENDS[backend]
    received = converted(np.array([[0.1, 0.3, 0.2], [0.1, 0.1, 0.9]], np.float32))
    assert np.asarray(sinks(received, 2.0)).tolist() == [[False, True, False], [False, False, True]]


def on_a_grid(weights, side):
    weights = np.array([weights], np.float32)[..., None]
    return seen_of(side, 1, weights.shape[1], sink_attention=weights, projected=weights)


@every_backend
def test_as_many_are_low_as_make_the_budget(backend):
    """Cells are rows of two on a grid of 2: 0 1 / 2 3. Lowest first 0, 3, 1, 2."""
    seen = on_a_grid([1, 3, 6, 2], 2)
    seen = seen._replace(places=seen.places * np.array([2, 1]))
    made = {keep: choose(backend, VFlowOpt(cell=2.0), seen, keep) for keep in (4, 3, 2, 1)}
    assert made[4].weights[0].tolist() == np.eye(4).tolist()
    assert made[3].indices.tolist() == [[1, 2, 3]]
    np.testing.assert_allclose(made[3].weights[0], [[0.25, 0.75, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert made[2].indices.tolist() == [[1, 2]]
    np.testing.assert_allclose(made[2].weights[0], [[0.25, 0.75, 0, 0], [0, 0, 0.75, 0.25]])
    # Fewer rows than cells: a deviation, the group of the highest weight.
    assert made[1].indices.tolist() == [[2]]
    np.testing.assert_allclose(made[1].weights[0], [[0, 0, 0.75, 0.25]])


@every_backend
def test_a_group_without_weight_is_its_first_token(backend):
    """A deviation: there NaN."""
    choice = choose(backend, VFlowOpt(), on_a_grid([0, 0, 0, 0], 2), 1)
    assert choice.indices.tolist() == [[0]]
    assert choice.weights.tolist() == [[[1, 0, 0, 0]]]
