"""CenterCLIP, and the selectors of PACT and DART, against their authors' code."""

from typing import Any

import numpy as np
import pytest

import vtc_core
from vtc_core.methods import CenterClip, Dart, Pact
from vtc_core.methods.centerclip import members
from vtc_core.methods.dart import spread
from vtc_core.methods.pact import apart, dense_cover, density

from .vectors import BACKENDS, cases, choose, every_backend, seen_of


@every_backend
@pytest.mark.parametrize("case", cases("centerclip"))
def test_centerclip_is_the_authors(case, backend):
    features, keep = case.inputs["features"], case.params["keep"]
    method = CenterClip(case.params["distance"], min(case.params["iter_limit"], 12))
    made = choose(backend, method, seen_of(4, *features.shape[:2], features=features), keep)
    np.testing.assert_array_equal(made.indices, case.outputs["medoids"])
    x = features.astype("f8")
    if case.params["distance"] == "cosine":
        x /= np.linalg.norm(x, axis=2, keepdims=True)
    distance = np.linalg.norm(x[:, :, None] - x[:, None], axis=3)  # of unit vectors: in the order of 1 - cosine
    slot = np.asarray(members(vtc_core, distance, np.asarray(made.indices))).argmax(1)
    np.testing.assert_array_equal(slot, case.outputs["assignment"])


def test_equal_tokens_empty_no_cluster():
    features = np.repeat(np.eye(3, dtype="f4"), 4, axis=0)[None]
    made = choose("numpy", CenterClip(), seen_of(4, 1, 12, features=features), 7)
    assert len(set(made.indices[0].tolist())) == 7


@every_backend
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("tokens", [2, 5, 9])
def test_of_a_cluster_of_two_the_lower_index_is_the_medoid(tokens, distance, backend):
    """All tokens but one are chosen first: it and the token next to it are the only cluster of more than one."""
    for seed in range(2):
        features = np.random.default_rng(seed).standard_normal((1, tokens, 16))
        x = features[0] / np.linalg.norm(features[0], axis=1, keepdims=True) ** (distance == "cosine")
        away = np.linalg.norm(x[:, None] - x[None], axis=2)
        chosen = [int(np.linalg.norm(features[0], axis=1).argmax())]
        while len(chosen) < tokens - 1:
            chosen.append(int(np.where(np.isin(range(tokens), chosen), -1, away[chosen].min(0)).argmax()))
        left = next(j for j in range(tokens) if j not in chosen)
        pair = (left, min(chosen, key=lambda j: away[left, j]))
        made = choose(backend, CenterClip(distance), seen_of(4, 1, tokens, features=features.astype("f4")), tokens - 1)
        assert set(range(tokens)) - set(made.indices[0].tolist()) == {max(pair)}


@every_backend
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_nan_features_empty_no_cluster(distance, backend):
    features = np.random.default_rng(0).standard_normal((1, 12, 8)).astype("f4")
    features[:, 1::3] = np.nan
    for keep in (3, 7, 12):
        made = choose(backend, CenterClip(distance), seen_of(4, 1, 12, features=features), keep)
        assert len(set(made.indices[0].tolist())) == keep


@every_backend
def test_keys_of_length_0_are_ties_for_pact(backend):
    seen = seen_of(3, 1, 9, keys=np.zeros((1, 9, 2, 4), "f4"), features=np.ones((1, 9, 8), "f4"))
    seen = seen._replace(received_attention=np.ones((1, 9, 1), "f4"))
    made = choose(backend, Pact(), seen, 3)
    assert made.indices.tolist() == [[0, 1, 2]]


@every_backend
@pytest.mark.parametrize("case", cases("pact"))
def test_the_cover_of_pact_is_the_authors(case, backend):
    v, converted = BACKENDS[backend]
    image = case.inputs["is_image"].astype(bool)
    distance = apart(converted(case.inputs["rotated_keys"][image][None]))
    survive = converted(case.outputs["survive"].astype(bool)[None])
    cutoff = case.params["cutoff"]
    centre = np.asarray(dense_cover(v, distance, density(distance, survive), survive, cutoff))[0]
    np.testing.assert_array_equal(np.flatnonzero(centre), case.outputs["indices"])
    near = np.asarray(distance)[0][case.outputs["indices"]]
    labels = np.where(near.min(0) <= case.params["recover"] * cutoff, case.outputs["indices"][near.argmin(0)], -1)
    np.testing.assert_array_equal(labels, case.outputs["labels"])


@every_backend
@pytest.mark.parametrize("case", cases("dart"))
def test_the_spread_of_dart_is_the_authors(case, backend):
    v, converted = BACKENDS[backend]
    start, tokens = case.params["vision_start"], case.params["tokens"]
    hidden = case.inputs["hidden"]
    unit = hidden / np.linalg.norm(hidden, axis=2, keepdims=True)
    similarity = unit[:, case.outputs["pivot_order"][0]] @ unit[:, start : start + tokens].swapaxes(1, 2)
    taken = np.zeros((1, tokens), bool)
    taken[0, case.outputs["image_pivots"][0]] = True
    counts = [case.params["per_pivot"]] * similarity.shape[1]
    taken = np.asarray(spread(v, converted(similarity), counts, converted(taken)))
    np.testing.assert_array_equal(np.flatnonzero(taken[0]), case.outputs["indices"][0])
    norms = np.abs(case.inputs["keys"][:, :, start : start + tokens]).sum((1, 3))
    keys = case.inputs["keys"][:, :, start : start + tokens].transpose(0, 2, 1, 3)
    seen = seen_of(4, 1, tokens, keys=keys, features=hidden[:, start : start + tokens])
    count = case.params["pivots_image"]
    made = choose(backend, Dart(count), seen, count)  # the pivots alone
    np.testing.assert_allclose(made.scores, norms, rtol=1e-5)
    np.testing.assert_array_equal(made.indices[0], np.sort(case.outputs["image_pivots"][0]))


def test_dart_meets_the_budget_that_its_authors_miss():
    case: Any = next(param.values[0] for param in cases("dart") if param.id == "case07")
    wanted = round(576 * (1 - case.params["ratio"]))
    assert (wanted, case.outputs["indices"].shape[1]) == (128, 124)
    first = case.params["vision_start"]
    keys, features = case.inputs["keys"][:, :, first:][:, :, :576], case.inputs["hidden"][:, first:][:, :576]
    seen = seen_of(24, 1, 576, keys=keys.transpose(0, 2, 1, 3), features=features)
    assert len(set(choose("numpy", Dart(), seen, wanted).indices[0].tolist())) == 128


@every_backend
@pytest.mark.parametrize("keep", [1, 3, 8, 9, 20, 36])
def test_the_budget_is_met(keep, backend):
    rng = np.random.default_rng(0)
    keys, features = rng.standard_normal((2, 36, 2, 4)).astype("f4"), rng.standard_normal((2, 36, 8)).astype("f4")
    seen = seen_of(6, 2, 36, keys=keys, features=features, received_attention=rng.random((2, 36, 1)).astype("f4"))
    for method in (Dart(), Pact(), Pact(share=0.0), Pact(cutoff=2.0)):
        made = choose(backend, method, seen, keep)
        assert made.indices.shape == (2, keep)
        assert all(len(set(row)) == keep for row in made.indices.tolist())
    pact = choose(backend, Pact(share=1.0, cutoff=2.0), seen, 1)
    assert pact.weights is not None
    np.testing.assert_allclose(pact.weights, 1 / 36, rtol=1e-5)  # all are near the one centre
