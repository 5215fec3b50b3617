"""VisPruner against its authors' code, and where it is meant to differ."""

import jax
import numpy as np
import pytest
from methods.vectors import BACKENDS, cases, choose, every_backend, seen_of

from vtc_core.methods import VisPruner
from vtc_core.methods.vispruner import thin


def seen_in(case):
    attention = case.inputs["cls_attention"].mean(1)
    features = case.inputs["features"]
    return seen_of(
        int(attention.shape[1] ** 0.5), *attention.shape, cls_attention=attention[..., None], features=features
    )


@every_backend
@pytest.mark.parametrize("case", cases("vispruner"))
def test_equals_the_authors_code(backend, case):
    params = case.params
    method = VisPruner(params["important_ratio"], params["step"])
    choice = choose(backend, method, seen_in(case), params["keep"])
    np.testing.assert_array_equal(choice.indices, case.outputs["indices"])


@every_backend
@pytest.mark.parametrize("case", cases("vispruner"))
def test_leaves_the_diverse_tokens_in_the_authors_order(backend, case):
    v, converted = BACKENDS[backend]
    attention = case.inputs["cls_attention"].mean(1)
    others = np.argsort(-attention, 1)[:, case.params["important"] :]
    diverse = case.outputs["diverse"]
    if not diverse.shape[1]:
        return  # the rounds are left out there, and run for nothing here

    def call(features, others):
        return thin(v, features, others, diverse.shape[1], case.params["step"])

    call = jax.jit(call) if backend == "jax jitted" else call
    np.testing.assert_array_equal(np.asarray(call(converted(case.inputs["features"]), converted(others))), diverse)


def by_hand(attention, features, keep, important, step):
    """The rounds as they are meant, for any number of others."""
    order = np.argsort(-attention, kind="stable")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    count = int(keep * important)
    others = list(order[count:])
    while len(others) > keep - count:
        even, odd = others[0::2], others[1::2]
        highest = (unit[even] @ unit[odd].T).max(1)
        drop = min(step, len(others) - (keep - count), len(even))
        others = [even[i] for i in np.argsort(-highest, kind="stable")[drop:]] + odd
    return sorted([*order[:count], *others])


@every_backend
@pytest.mark.parametrize(("tokens", "keep", "step"), [(25, 5, 8), (36, 2, 8), (37, 10, 3), (15, 1, 100), (9, 8, 1)])
def test_odd_numbers_and_small_budgets_take_the_step_that_was_meant(backend, tokens, keep, step):
    """A deviation: there these are errors."""
    rng = np.random.default_rng(tokens)
    attention, features = rng.random((2, tokens)), rng.normal(size=(2, tokens, 8))
    seen = seen_of(tokens, 2, tokens, cls_attention=attention[..., None], features=features)
    seen = seen._replace(cls_attention=attention[..., None].astype("f"), features=features.astype("f"))
    wanted = [by_hand(a, f, keep, 0.5, step) for a, f in zip(attention, features, strict=True)]
    np.testing.assert_array_equal(choose(backend, VisPruner(step=step), seen, keep).indices, wanted)
