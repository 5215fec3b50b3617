"""Stages that merge, against their authors' code: VisionDrop, SparseVLM, PACT."""

import numpy as np
from methods.vectors import ATOL, BACKENDS, RTOL
from stages.asking import ask, authors, both, cases_of, left, picture, running, sequence

from vtc_core.stages import NO_PLACE, Pact, SparseVlm, VisionDrop
from vtc_core.stages.peaks import densities, density_peaks, spaces
from vtc_core.stages.sparsevlm import clusters_of, raters, recycled_of


@authors("visiondrop", lambda case: case.params["kind"] == "llm")
def test_visiondrop_is_the_authors(case, backend):
    params, out = case.params, case.outputs
    start, tokens, dominant = params["image_start"], params["image_tokens"], params["dominant"]
    stage = VisionDrop((1,), (dominant,), (params["contextual"],))
    assert stage.schedule(32, tokens) == ((1, params["keep"]),)
    hidden, visual = case.inputs["hidden"], picture(start, tokens, len(case.inputs["hidden"]))
    query = case.inputs["query"][:, :, start : start + tokens]
    made = ask(backend, stage, running(visual, query=query, keys=case.inputs["keys"]), params["keep"], params["scale"])
    np.testing.assert_allclose(made.scores, out["scores"], RTOL, ATOL)
    np.testing.assert_array_equal(made.indices[:, :dominant], out["dominant"])
    assert (made.indices[:, dominant:] == NO_PLACE).all()
    mixed = made.weights[:, dominant:]
    assert (np.take_along_axis(mixed, out["anchors"][:, :, None], axis=2) == 1).all()
    np.testing.assert_array_equal(np.where((mixed > 0).any(1), mixed.argmax(1), -1), out["assignment"])
    for row, fed in enumerate(out["sequence"]):
        np.testing.assert_allclose(sequence(made, hidden, visual, row), fed, RTOL, ATOL)


def sparse(case):
    """The stage, and what it sees: layer 1 of a prompt whose embeddings and hidden states are as long."""
    params, inputs = case.params, case.inputs
    start, tokens = params["image_start"], params["tokens"]
    visual, (heads, rows, length) = picture(start, tokens), inputs["attention"].shape
    # Queries that pick their own row of log attention. Text before the picture does not rate: any row will do for it.
    # What rows of the vectors have for tokens after their own goes to the first: of the picture nothing changes.
    attention = np.concatenate([np.full((heads, start, length), 1 / length, "f4"), inputs["attention"]], axis=1)
    attention[:, start:, start + tokens :] = 0
    attention[:, start:, 0] += 1 - attention[:, start:].sum(2)
    keys = np.log(np.maximum(attention, 1e-30)).transpose(0, 2, 1)[None]
    query = np.broadcast_to(np.eye(start + rows, dtype="f4"), (1, heads, start + rows, start + rows))
    seen = running(visual, query=query, keys=keys, hidden=inputs["hidden"][None])
    return SparseVlm((1,), (params["budget"],)), seen._replace(embeddings=inputs["embeddings"][None], entered=visual)


@authors("sparsevlm")
def test_sparsevlm_is_the_authors(case, backend):
    """Up to noise: where it decides, between densities that are equal, see the next test."""
    params, out = case.params, case.outputs
    stage, seen = sparse(case)
    ((layer, keep),) = stage.schedule(32, params["tokens"])
    assert (layer, keep) == (2, params["keep"] + params["clusters"])
    made = ask(backend, stage, seen, keep)
    v, converted = BACKENDS[backend]
    rating = np.asarray(raters(v, type(seen)(*map(lambda x: None if x is None else converted(x), seen))))[0]
    np.testing.assert_array_equal(np.flatnonzero(rating[params["image_start"] :]), out["raters"])
    assert not rating[: params["image_start"]].any()
    np.testing.assert_allclose(made.scores[0], out["scores"], RTOL, ATOL)
    np.testing.assert_array_equal(made.indices[0, : params["keep"]], out["indices"])
    assert (made.indices[0, params["keep"] :] == NO_PLACE).all()
    mixed = made.weights[0, params["keep"] :]
    np.testing.assert_array_equal(np.flatnonzero(mixed.sum(0)), np.sort(out["recycled"]))
    if "noise" not in case.inputs:
        fed = sequence(made, seen.hidden, seen.visual)
        np.testing.assert_allclose(fed, out["sequence"], RTOL, ATOL)


@authors("sparsevlm", lambda case: case.params["clusters"] > 1)
def test_its_density_peaks_are_the_authors_with_their_noise(case, backend):
    v, converted = BACKENDS[backend]
    points = case.inputs["hidden"][case.outputs["recycled"] + case.params["image_start"]][None]
    noise = case.inputs.get("noise", np.zeros(points.shape[1], "f4")).reshape(1, -1)
    clusters = case.params["clusters"]
    space = spaces(converted(points))
    rho = densities(space, clusters) + 1e-6 * converted(noise)
    centres, members = map(np.asarray, density_peaks(v, space, rho, clusters))
    np.testing.assert_array_equal(case.outputs["recycled"][centres[0]], case.outputs["centres"])
    np.testing.assert_array_equal(members[0].argmax(0), case.outputs["assignment"])
    assert members.sum() == points.shape[1]
    means = members[0] @ points[0].astype("f8") / (members[0].sum(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(means, case.outputs["merged"], RTOL, ATOL)


def test_sparsevlm_counts_as_published():
    assert SparseVlm().schedule(32, 576) == ((3, 300 + 9), (7, 200 + 4), (16, 110 + 3))
    assert (recycled_of(276), clusters_of(276)) == (83, 9)
    assert clusters_of(0) == 0
    assert SparseVlm((2, 6), (0.5, 0.25)).schedule(32, 100) == ((3, 50 + 2), (7, 25 + 1))


@both
def test_a_mean_of_sparsevlm_is_a_little_short(backend):
    """Of 16 tokens 2 are dropped, and the better one is recycled alone: a sum over n + 1e-6 tokens."""
    stage, seen = SparseVlm((1,), (14,)), sparse(cases_of("sparsevlm")[0])[1]
    assert stage.schedule(32, 16) == ((2, 15),)
    made = ask(backend, stage, seen, 15)
    best = np.argsort(-made.scores[0])[14]
    np.testing.assert_allclose(made.weights[0, 14], np.eye(16)[best] / (1 + 1e-6), rtol=1e-7)


@both
def test_sparsevlm_leaves_all_where_the_budget_allows_it(backend):
    case = cases_of("sparsevlm")[0]
    _, seen = sparse(case)
    stage = SparseVlm((1,), (16,))
    assert stage.schedule(32, 16) == ((2, 16),)
    made = ask(backend, stage, seen, 16)
    assert made.indices.tolist() == [list(range(16))]
    np.testing.assert_array_equal(made.weights, np.eye(16)[None])


@both
def test_sparsevlm_without_a_rater_above_the_mean_or_without_text_after_the_pictures(backend):
    _, seen = sparse(cases_of("sparsevlm")[0])
    length = seen.keys.shape[2]
    alike = seen._replace(embeddings=np.ones_like(seen.embeddings))
    every = ask(backend, SparseVlm((1,), (4,)), alike, 6).scores[0]
    rows = np.exp(seen.keys[0]).transpose(0, 2, 1)[:, 3:]  # heads, text after, length
    np.testing.assert_allclose(every, rows.mean((0, 1))[3:19], RTOL, ATOL)

    at_the_end = picture(length - 16, 16)
    made = ask(backend, SparseVlm((1,), (4,)), seen._replace(visual=at_the_end, entered=at_the_end), 6)
    assert made.scores.tolist() == [[0.0] * 16]
    assert made.indices[0, :4].tolist() == [0, 1, 2, 3]


def dense(case):
    """Prompts of PACT's block: other tokens may lie among those of the picture."""
    inputs = case.inputs
    length = inputs["rotated_keys"].shape[0]
    kv_heads, _, size = inputs["keys"].shape
    rotated = inputs["rotated_keys"].reshape(length, kv_heads, size).transpose(1, 0, 2)[None]
    fields = {"plain_query": inputs["query"][None], "plain_keys": inputs["keys"][None], "keys": rotated}
    return running(np.flatnonzero(inputs["is_image"])[None], hidden=inputs["hidden"][None], **fields)


@authors("pact")
def test_pact_is_the_authors(case, backend):
    params, out, seen = case.params, case.outputs, dense(case)
    stage = Pact(4, params["share"], params["cutoff"], params["recover"])
    ((_, most),) = stage.schedule(32, params["tokens"])
    assert most == params["survivors"]
    made = ask(backend, stage, seen, most, params["scale"])
    assert made.indices.shape == (1, most)
    np.testing.assert_allclose(made.scores[0], out["scores"], RTOL, ATOL)
    assert left(made) == out["indices"].tolist()
    weights = made.weights[0, : params["kept"]]
    assert not made.weights[0, params["kept"] :].any()
    np.testing.assert_array_equal(weights.any(0), out["labels"] >= 0)
    np.testing.assert_array_equal(out["indices"][weights.argmax(0)][weights.any(0)], out["labels"][out["labels"] >= 0])
    hidden = case.inputs["hidden"].astype("f8")
    rest = hidden.copy()
    rest[seen.visual[0, out["indices"]]] = weights @ hidden[seen.visual[0]]
    np.testing.assert_allclose(rest[out["sequence_indices"]], out["sequence"], RTOL, ATOL)
    sizes = np.zeros(len(hidden))
    sizes[seen.visual[0, out["indices"]]] = np.log((weights > 0).sum(1))
    np.testing.assert_allclose(sizes[out["sequence_indices"]], out["log_sizes"], 1e-3, ATOL)  # there of float16


@both
def test_pact_of_one_token_has_one_survivor(backend):
    seen = dense(cases_of("pact")[0])
    one = seen._replace(visual=seen.visual[:, :1], places=seen.places[:, :1])
    assert Pact().schedule(32, 1) == ((4, 1),)
    made = ask(backend, Pact(), one, 1)
    assert (made.indices.tolist(), made.weights.tolist()) == ([[0]], [[[1.0]]])
