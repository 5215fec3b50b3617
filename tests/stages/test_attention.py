"""Stages by attention alone, against their authors' code: FastV, PyramidDrop, FEATHER, AIM."""

import numpy as np
from methods.vectors import ATOL, BACKENDS, RTOL
from stages.asking import ask, authors, both, cases_of, left, picture, running, sequence

from vtc_core.stages import AimPageRank, FastV, Feather, PyramidDrop
from vtc_core.stages.aim import page_rank


@authors("fastv")
def test_fastv_is_the_authors(case, backend):
    params, attention = case.params, case.inputs["attention"]
    heads, visual = attention.shape[0], picture(params["image_start"], params["tokens"])
    keys = np.log(attention)[None, :, :, None]  # queries of 1: the softmax gives back what is known here
    seen = running(visual, query=np.ones((1, heads, 1, 1), "f4"), keys=keys)
    stage = FastV(layer=3, keep=1 - params["ratio"])
    ((layer, keep),) = stage.schedule(32, params["tokens"])
    assert (layer, keep) == (3, params["keep"])
    made = ask(backend, stage, seen, keep)
    np.testing.assert_array_equal(made.indices[0], case.outputs["indices"])
    np.testing.assert_allclose(made.scores[0], case.outputs["scores"], RTOL, ATOL)
    fed = sequence(made, case.inputs["hidden"][None], visual)
    np.testing.assert_array_equal(fed.astype("f4"), case.outputs["sequence"])


@authors("pyramiddrop")
def test_pyramiddrop_is_the_authors(case, backend):
    """Padding is the caller's: each row is asked at its own length."""
    params = case.params
    visual = picture(params["image_start"], params["tokens"])
    stage = PyramidDrop(layers=(1, 2), keep=(params["ratio_before"], params["ratio_after"]))
    (_, before), (_, keep) = stage.schedule(32, params["full_tokens"])
    assert (before, keep) == (params["tokens"], params["keep"])
    for row, last in enumerate(params["instruction_positions"]):
        keys = case.inputs["keys"][row : row + 1, :, : last + 1]
        seen = running(visual, query=case.inputs["query"][row : row + 1, :, None], keys=keys)
        made = ask(backend, stage, seen, keep, params["scale"], 2)
        np.testing.assert_array_equal(made.indices[0], case.outputs["indices"][row])
        np.testing.assert_allclose(made.scores[0], case.outputs["scores"][row], RTOL, ATOL)


@authors("feather")
def test_feather_is_the_authors_in_both_stages(case, backend):
    params, out = case.params, case.outputs
    side, tokens, start = params["side"], params["tokens"], params["image_start"]
    stage = Feather((8, 16), params["ratio"], params["stride"])
    (_, most), (_, second) = stage.schedule(32, tokens)
    places = np.stack(np.divmod(np.arange(tokens), side), -1)[None]
    visual = picture(start, tokens)
    query, keys = case.inputs["query"][:, None, :, None], case.inputs["keys"][:, None]
    seen = running(visual, places=places, plain_query=query[0], plain_keys=keys[0])
    made = ask(backend, stage, seen, most, params["scale"], 8)
    assert made.indices.shape == (1, most)
    assert left(made) == out["first"].tolist()
    np.testing.assert_allclose(made.scores[0], out["first_scores"], RTOL, ATOL)

    first = out["first"]
    dropped = np.delete(np.arange(tokens), first) + start
    visual = (start + np.arange(len(first)))[None]  # the sequence is shorter now
    shorter = np.delete(keys[1], dropped, axis=2)
    seen = running(visual, places=places[:, first], plain_query=query[1], plain_keys=shorter)
    made = ask(backend, stage, seen, min(second, len(first)), params["scale"], 16)
    assert first[left(made)].tolist() == out["second"].tolist()
    assert len(left(made)) == params["second_topk"]
    np.testing.assert_allclose(made.scores[0], out["second_scores"], RTOL, ATOL)


@both
def test_feathers_grid_is_of_places_that_there_are(backend):
    """Newlines have none; of more grid points than a square has, as many are left as are scheduled."""
    tokens = 12
    keys = np.arange(14, dtype="f4")[None, None, :, None]
    places = np.stack(np.divmod(np.arange(tokens), 4), -1)[None]
    places[0, 3::4] = -1
    seen = running(picture(1, tokens), places=places, plain_query=np.ones((1, 1, 1, 1), "f4"), plain_keys=keys)
    assert left(ask(backend, Feather((1, 2), 1.0, 2), seen, 12)) == [0, 2, 8, 10]
    assert left(ask(backend, Feather((1, 2), 1.0, 2), seen, 3)) == [2, 8, 10]  # those with the highest scores
    assert left(ask(backend, Feather((1, 2), 0.75, 2), seen, 12)) == [0, 2, 8, 9, 10, 11]
    assert left(ask(backend, Feather((1, 2), 1.0, 1), seen, 12)) == [0, 1, 2, 4, 5, 6, 8, 9, 10]


@authors("aim_pagerank")
def test_the_page_rank_of_aim_is_the_authors(case, backend):
    """Its own tolerance: a temperature of 0.1 multiplies rounding by ten."""
    params, (_, converted) = case.params, BACKENDS[backend]
    query, keys = converted(case.inputs["query"]), converted(case.inputs["keys"])
    scale = query.shape[-1] ** -0.5 / params["tau"]
    made = np.asarray(page_rank(query, keys, scale, params["iterations"]))
    np.testing.assert_allclose(made, case.outputs["importance"], 1e-4, 1e-7)


@authors("aim_pagerank", lambda case: bool(case.inputs["alive"].all()))
def test_aim_keeps_what_the_authors_do_not_mask(case, backend):
    params, query = case.params, case.inputs["query"]
    start, end = params["vision_start"], params["vision_end"]
    stage = AimPageRank(temperature=params["tau"], steps=params["iterations"])
    keep = dict(stage.schedule(32, end - start))[params["layer"] + 1]
    assert keep == int((end - start) * params["retain"])
    seen = running(picture(start, end - start, len(query)), query=query, keys=case.inputs["keys"])
    made = ask(backend, stage, seen, keep, query.shape[-1] ** -0.5, params["layer"] + 1)
    for row, alive in enumerate(case.outputs["alive"][:, start:end]):
        np.testing.assert_array_equal(made.indices[row], np.flatnonzero(alive))


def test_the_masked_cases_are_those_that_dropping_cannot_equal():
    """There walks still start at what an earlier layer masked; here it is gone. Without any share left all go, too."""
    masked = [case for case in cases_of("aim_pagerank") if not case.inputs["alive"].all()]
    assert [case.name for case in masked] == ["case01", "case03", "case04"]
    params, alive = masked[-1].params, masked[-1].outputs["alive"]
    assert not alive[:, params["vision_start"] : params["vision_end"]].any()
    assert dict(AimPageRank().schedule(32, 36))[params["layer"] + 1] == 0
