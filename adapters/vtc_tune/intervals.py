"""What samples tell about a mean: intervals, and a bound that holds. NumPy arrays, no model."""

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import beta

CONFIDENCE = 0.95
RESAMPLES = 2000
AT_ONCE = 100  # resamples, whose counts are in memory together


def bootstrap(
    values: Float[np.ndarray, "rows samples"], confidence: float = CONFIDENCE, seed: int = 0
) -> Float[np.ndarray, "rows 2"]:
    """The lower and upper end of each row's mean: percentiles over resamples, paired.

    Every resample draws the same samples for all rows, so what rows have in common, easy and hard questions, is in
    none of the differences between them.
    """
    count = values.shape[1]
    rng = np.random.default_rng(seed)
    parts = [AT_ONCE] * (RESAMPLES // AT_ONCE)
    means = [rng.multinomial(count, np.full(count, 1 / count), part) @ values.T / count for part in parts]
    return np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0).T


def at_least(total: float | int, count: int, error: float) -> float:
    """A lower bound on the mean of what lies in [0, 1], too high with a probability of at most `error`.

    Clopper and Pearson's, exact where every sample is 0 or 1; `total` is the sum of `count` samples. With fractions
    (F1) between, that is careful rather than exact: of all samples in [0, 1] with one mean those of 0 and 1 spread most
    (Hoeffding 1956). A percentile of the bootstrap would not do: of samples that all agree it is 1, however few.
    """
    return float(beta.ppf(error, total, count - total + 1)) if total > 0 else 0.0


def fewest(target: float, error: float) -> int:
    """Samples of which all have to be 1 for `at_least` to reach the target: with fewer nothing can be promised."""
    return math.ceil(math.log(error) / math.log(target))


def enough(mean: float | int, target: float, error: float) -> int | None:
    """So many samples make `at_least` reach the target if their mean stays what it is; None: no number does."""
    if mean <= target:
        return None

    few, many = 0, 1
    while at_least(mean * many, many, error) < target:
        few, many = many, 2 * many
        if many > 1e9:  # a mean within rounding of the target
            return None
    while many - few > 1:
        middle = (few + many) // 2
        reached = at_least(mean * middle, middle, error) >= target
        few, many = (few, middle) if reached else (middle, many)
    return many
