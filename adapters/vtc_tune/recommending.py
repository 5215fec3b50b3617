"""Which setting to recommend: the cheapest that surely meets the target. Figures in, a verdict out."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from .intervals import CONFIDENCE, at_least, enough, fewest


class Candidate(NamedTuple):
    method: str
    tokens: float  # in a prompt, on average: what it costs
    total: float  # agreement, summed over samples


class Verdict(NamedTuple):
    """Numbers of candidates; exactly one of `recommended` and `reason` is there."""

    recommended: int | None
    best: int  # the recommended, or the one that comes nearest to the target
    bounds: list[float]  # agreement that each surely has
    reason: str | None
    more: int | None  # so many more samples would, or might, change that; None: no number does


def verdict(candidates: Sequence[Candidate], count: int, target: float) -> Verdict:
    """The cheapest of the candidates that pass, of equally cheap ones that with the highest bound.

    A method's candidates are tested from the one with most tokens down, and testing stops at the first whose bound
    misses the target; M methods share the error, each bound having (1 - 0.95) / M. So the probability that any
    candidate passes which has less than the target is at most 0.05, however many there are, and whichever of those
    that pass is taken: fixed-sequence testing (Maurer, Hothorn, Lehmacher 1995) within a method, Bonferroni over them.

    Args:
        count: samples, the same for all candidates.
        target: agreement that is wanted, in (0, 1).
    """
    of_method: dict[str, list[int]] = defaultdict(list)
    for number in sorted(range(len(candidates)), key=lambda number: -candidates[number].tokens):
        of_method[candidates[number].method].append(number)
    error = (1 - CONFIDENCE) / len(of_method)
    bounds = [at_least(candidate.total, count, error) for candidate in candidates]
    passed = []
    for numbers in of_method.values():
        for number in numbers:
            if bounds[number] < target:
                break
            passed.append(number)
    nearest = max(range(len(candidates)), key=lambda number: (bounds[number], -candidates[number].tokens))
    if passed:
        cheapest = min(passed, key=lambda number: (candidates[number].tokens, -bounds[number]))
        return Verdict(cheapest, cheapest, bounds, None, None)
    if count < (needed := fewest(target, error)):
        reason = (
            f"{count} samples are too few to promise {target:.1%}, even if all agreed: {needed - count} more needed"
        )
        return Verdict(None, nearest, bounds, reason, needed - count)
    first = [numbers[0] for numbers in of_method.values()]  # what is tested first, and stops the others
    mean, number = max((candidates[number].total / count, number) for number in first)
    reached = f"{mean:.1%} of {candidates[number].method} with {candidates[number].tokens:g} tokens"
    if (needed := enough(mean, target, error)) is None:
        return Verdict(None, nearest, bounds, f"none meets {target:.1%}: the most is {reached}", None)
    reason = f"{count} samples are too few to be sure of {target:.1%}: {reached} would take about {needed - count} more"
    return Verdict(None, nearest, bounds, reason, needed - count)
