"""The rule, on figures made by hand; and how often it errs, on random ones."""

import numpy as np
import pytest

from vtc_tune.recommending import Candidate, verdict


def of(method, *pairs):
    return [Candidate(method, tokens, total) for tokens, total in pairs]


def test_the_cheapest_that_passes():
    found = verdict(of("a", (72, 500), (36, 499), (16, 480)) + of("b", (72, 500), (36, 500), (16, 470)), 500, 0.98)
    assert found.recommended == 4  # b at 36: as cheap as a there, and surer
    assert found.best == 4
    assert (found.reason, found.more) == (None, None)
    assert found.bounds[4] == pytest.approx(0.025 ** (1 / 500))  # two methods share 0.05


def test_a_method_is_tested_from_the_most_tokens_down_and_no_further_than_it_passes():
    """A budget that comes out well below one that fails is luck, or would be hard to explain."""
    found = verdict(of("a", (8, 500), (72, 500), (36, 450)), 500, 0.98)
    assert found.recommended == 1


def test_too_few_samples_say_how_many_more():
    found = verdict(of("a", (72, 100), (36, 100)), 100, 0.98)
    assert found.recommended is None
    assert found.more == 149 - 100  # 0.98 ** 149 is just below 0.05
    assert found.best == 1
    assert found.reason == "100 samples are too few to promise 98.0%, even if all agreed: 49 more needed"


def test_samples_that_do_not_settle_it_say_how_many_might():
    found = verdict(of("a", (72, 495), (36, 400)), 500, 0.98)
    assert found.recommended is None
    assert found.best == 0
    assert found.more is not None
    assert found.more > 0
    assert verdict(of("a", (72, 0.99 * (500 + found.more))), 500 + found.more, 0.98).recommended == 0


def test_none_meets_it():
    found = verdict(of("a", (72, 450), (36, 400)) + of("b", (72, 480)), 500, 0.98)
    assert (found.recommended, found.more, found.best) == (None, None, 2)
    assert found.reason == "none meets 98.0%: the most is 96.0% of b with 72 tokens"


def test_what_is_recommended_truly_misses_the_target_in_one_run_of_twenty_at_most():
    """25 settings, all of them just below the target: the worst case."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(200):
        totals = rng.binomial(500, 0.979, 25)
        settings = [Candidate(f"m{i // 5}", 72 / (1 + i % 5), float(total)) for i, total in enumerate(totals)]
        wrong += verdict(settings, 500, 0.98).recommended is not None
    assert wrong <= 10
