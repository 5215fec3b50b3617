"""Bounds against binomial sums, and the bootstrap against what is known of it."""

from math import comb

import numpy as np
import pytest

from vtc_tune.intervals import at_least, bootstrap, enough, fewest


@pytest.mark.parametrize(("total", "count", "error"), [(95, 100, 0.05), (227, 228, 0.01), (1, 3, 0.2)])
def test_at_the_bound_so_many_would_just_be_too_lucky(total, count, error):
    p = at_least(total, count, error)
    tail = sum(comb(count, i) * p**i * (1 - p) ** (count - i) for i in range(total, count + 1))
    assert tail == pytest.approx(error)


def test_nothing_is_sure_of_none_and_all_are_a_power():
    assert at_least(0, 50, 0.01) == 0
    assert at_least(50, 50, 0.01) == pytest.approx(0.01 ** (1 / 50))


def test_the_bound_holds_for_fractions():
    """Of F1s: too high in no more runs than allowed."""
    rng = np.random.default_rng(0)
    values = rng.beta(8, 0.4, (4000, 200))  # mean 0.952
    bounds = [at_least(float(row.sum()), 200, 0.05) for row in values]
    assert np.mean(np.array(bounds) > 8 / 8.4) <= 0.05


def test_fewest_is_where_all_agreeing_reaches_the_target():
    count = fewest(0.98, 0.01)
    assert count == 228
    assert at_least(count, count, 0.01) >= 0.98 > at_least(count - 1, count - 1, 0.01)


def test_enough_is_the_first_count_that_reaches_the_target():
    count = enough(0.99, 0.98, 0.01)
    assert count is not None
    assert at_least(0.99 * count, count, 0.01) >= 0.98 > at_least(0.99 * (count - 1), count - 1, 0.01)
    assert enough(1.0, 0.98, 0.01) == 228
    assert enough(0.98, 0.98, 0.01) is None
    assert enough(0.5, 0.98, 0.01) is None


def test_intervals_of_means_are_those_of_the_normal_approximation():
    rng = np.random.default_rng(1)
    values = rng.normal(3, 2, (1, 400))
    (low, high) = bootstrap(values)[0]
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)


def test_resamples_are_paired_and_repeatable():
    """Rows that differ by a constant have intervals that differ by it."""
    values = np.random.default_rng(2).random((1, 60))
    both = bootstrap(np.concatenate([values, values - 0.5]))
    assert both[0] == pytest.approx(both[1] + 0.5)
    assert np.array_equal(both, bootstrap(np.concatenate([values, values - 0.5])))
    assert np.array_equal(bootstrap(np.ones((1, 9))), [[1.0, 1.0]])
