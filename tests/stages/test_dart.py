"""DART against its authors' code, given the order in which that serves pivots; and its budget."""

import numpy as np
import pytest
from methods.vectors import BACKENDS
from stages.asking import ask, authors, both, cases_of, picture, running

from vtc_core.methods.dart import spread
from vtc_core.methods.parts import at, cosine
from vtc_core.stages import Dart, Running


def seen_in(case):
    visual = picture(case.params["vision_start"], case.params["tokens"])
    return running(visual, keys=case.inputs["keys"], normed=case.inputs["hidden"])


@authors("dart")
def test_darts_pivots_and_what_they_take_are_the_authors(case, backend):
    params, out = case.params, case.outputs
    v, converted = BACKENDS[backend]
    stage = Dart(5, 1 - params["ratio"], params["pivots_image"], params["pivots_text"])
    seen = Running(*(None if field is None else converted(field) for field in seen_in(case)))
    norms = converted(np.abs(case.inputs["keys"]).sum((1, 3)))
    of_image, of_text = map(np.asarray, stage.pivots(v, seen, norms))
    np.testing.assert_array_equal(of_image, out["image_pivots"])
    end = params["vision_start"] + params["tokens"]
    np.testing.assert_array_equal(of_text - end, out["text_pivots"])

    order = converted(out["pivot_order"])
    similarity = cosine(v.gather(seen.normed, order), v.gather(seen.normed, seen.visual))
    taken = np.zeros((1, params["tokens"]), bool)
    taken[0, out["image_pivots"][0]] = True
    counts = [params["per_pivot"]] * order.shape[1]
    made = np.asarray(spread(v, similarity, counts, converted(taken)))
    np.testing.assert_array_equal(np.flatnonzero(made[0]), out["indices"][0])
    np.testing.assert_allclose(at(v, norms, seen.visual), ask(backend, stage, seen_in(case), 1).scores, rtol=1e-6)


@authors("dart")
def test_dart_is_what_a_loop_makes_of_its_formula(case, backend):
    """Pivots by falling norm, those of the picture first; what they leave is shared, the first take one more."""
    params, out, seen = case.params, case.outputs, seen_in(case)
    stage = Dart(5, 1 - params["ratio"], params["pivots_image"], params["pivots_text"])
    ((_, keep),) = stage.schedule(32, params["tokens"])
    made = ask(backend, stage, seen, keep)
    x = case.inputs["hidden"][0].astype("f8")
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    start, tokens = params["vision_start"], params["tokens"]
    pivots = [*(out["image_pivots"][0] + start), *(out["text_pivots"][0] + start + tokens)]
    kept = [*out["image_pivots"][0].tolist()]
    more, left = len(pivots), keep - len(kept)
    for nth, pivot in enumerate(pivots):
        count = left // more + (nth < left % more)
        free = sorted(set(range(tokens)) - set(kept), key=lambda j, pivot=pivot: x[pivot] @ x[start + j])
        kept += free[:count]
    assert made.indices[0].tolist() == sorted(kept)
    assert made.indices.shape[1] == keep == round(tokens * (1 - params["ratio"]))


def test_dart_meets_the_budget_that_its_authors_miss():
    assert Dart().schedule(32, 576) == ((5, 128),)
    assert cases_of("dart")[7].params["keep"] == 124


@both
@pytest.mark.parametrize(("before", "after"), [(0, 3), (2, 1), (5, 0), (0, 0)])
def test_text_before_the_pictures_serves_where_there_is_little_after_them(before, after, backend):
    rng, length = np.random.default_rng(0), before + 9 + after
    keys, normed = rng.standard_normal((1, 2, length, 4)), rng.standard_normal((1, length, 8))
    seen = running(picture(before, 9), keys=keys.astype("f4"), normed=normed.astype("f4"))
    v, converted = BACKENDS[backend]
    norms = np.abs(keys).sum((1, 3))
    _, of_text = Dart().pivots(v, Running(*(None if x is None else converted(x) for x in seen)), converted(norms))
    falling = lambda positions: sorted(positions, key=lambda position: -norms[0, position])  # noqa: E731
    wanted = falling(range(before + 9, length)) + falling(range(before))
    assert np.asarray(of_text)[0].tolist() == wanted[:4]
    for keep in range(10):
        assert len(set(ask(backend, Dart(), seen, keep).indices[0].tolist())) == keep
