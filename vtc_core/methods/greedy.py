"""Tokens one after the other, each the best one beside those before: one skeleton, and the rules that fill it.

All return the order of choice, (batch keep): budgets are nested, and no token is chosen twice. Ties: the lower index.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from .parts import arange, at

EXHAUSTED = 1e-6  # of a token's own kernel, in `dpp`: what is less is rounding

Matrix = Float[Any, "batch tokens tokens"]
Scores = Float[Any, "batch tokens"]
Covered = Float[Any, "batch rows"]
Order = Int[Any, "batch keep"]


def greedy(
    v: ModuleType,
    start: Scores,
    state: Any,
    gains: Callable[[Any], Scores],
    update: Callable[[Any, Int[Any, "batch 1"]], Any],
    keep: Any,
) -> Order:
    """First the highest of `start`; then always the highest of `gains(state)`, after `state = update(state, pick)`."""
    xp, (_, tokens) = array_namespace(start), start.shape
    number, place = arange(tokens, start)[None, :], arange(keep, start)[None, :]

    def best(scores: Scores, taken: Any) -> Int[Any, "batch 1"]:
        scores = xp.where(xp.isnan(scores), xp.full_like(scores, -xp.finfo(scores.dtype).max), scores)
        return xp.argmax(xp.where(taken, -xp.inf, scores), axis=1, keepdims=True)

    def step(i: Any, state: Any, taken: Any, order: Any) -> tuple[Any, Any, Any]:
        pick = best(gains(state), taken)
        return update(state, pick), taken | (number == pick), xp.where(place == i + 1, pick, order)

    pick = best(start, start != start)  # none is taken; NaN are last anyway
    order = xp.broadcast_to(pick, (start.shape[0], keep)) + place * 0
    return v.scan(step, (update(state, pick), number == pick, order), keep - 1)[2]


def rule(function: Callable[..., Any]) -> Callable[..., Any]:
    """A backend that has a graph of its own for a rule (ONNX has Loops) has it among its verbs, under its name."""

    @functools.wraps(function)
    def rules(v: ModuleType, *arguments: Any) -> Any:
        return getattr(v, function.__name__, functools.partial(function, v))(*arguments)

    return rules


@rule
def farthest(v: ModuleType, distance: Matrix, start: Scores, keep: Any) -> Order:
    """Max-min: the token whose nearest chosen one is farthest."""
    xp = array_namespace(distance)

    def update(nearest: Scores, pick: Int[Any, "batch 1"]) -> Scores:
        return xp.minimum(nearest, v.gather(distance, pick)[:, 0])

    return greedy(v, start, xp.full_like(start, xp.inf), lambda nearest: nearest, update, keep)


@rule
def disperse(v: ModuleType, similarity: Matrix, start: Scores, keep: Any) -> Order:
    """Max-sum: the token that is least similar to all chosen ones together."""
    xp = array_namespace(similarity)

    def update(total: Scores, pick: Int[Any, "batch 1"]) -> Scores:
        return total + v.gather(similarity, pick)[:, 0]

    return greedy(v, start, xp.zeros_like(start), lambda total: -total, update, keep)


@rule
def cover(v: ModuleType, similarity: Float[Any, "batch rows tokens"], keep: Any, bonus: Scores | None = None) -> Order:
    """Facility location: the token that adds most to sum_rows max_chosen similarity + sum_chosen bonus.

    Similarities are at least 0. A `bonus` is what a token adds whatever is chosen beside it.
    """
    xp = array_namespace(similarity)
    columns = xp.matrix_transpose(similarity)
    more = 0 if bonus is None else bonus

    def gains(covered: Covered) -> Scores:
        added = similarity - covered[:, :, None]
        return xp.sum(xp.where(added > 0, added, 0.0), axis=1) + more

    def update(covered: Covered, pick: Int[Any, "batch 1"]) -> Covered:
        return xp.maximum(covered, v.gather(columns, pick)[:, 0])

    return greedy(v, xp.sum(similarity, axis=1) + more, xp.zeros_like(similarity[:, :, 0]), gains, update, keep)


@rule
def dpp(v: ModuleType, kernel: Matrix, keep: Any) -> Order:
    """Greedy MAP of a determinantal point process: the token that adds most to log det of the chosen ones' kernel.

    What a token adds is the Schur complement d_j, by a Cholesky factor that grows by a row each time (Chen et al.,
    NeurIPS 2018, arXiv 1709.05135). A token of which the chosen ones leave less than `EXHAUSTED` adds nothing: beyond
    the kernel's rank all do, and are taken in order.
    """
    xp = array_namespace(kernel)
    number, place = arange(kernel.shape[1], kernel), arange(keep, kernel)[None, :, None]
    own = xp.sum(xp.where(number[:, None] == number[None, :], kernel, 0.0), axis=2)  # its diagonal

    def gains(state: Any) -> Scores:
        left, _, _ = state
        return xp.where(left <= EXHAUSTED * own, xp.zeros_like(left), left)

    def update(state: Any, pick: Int[Any, "batch 1"]) -> Any:
        left, factor, count = state
        best = at(v, gains(state), pick)
        explained = xp.matmul(v.gather(xp.matrix_transpose(factor), pick), factor)[:, 0]
        row = (v.gather(kernel, pick)[:, 0] - explained) / xp.sqrt(xp.where(best > 0, best, 1.0))
        row = xp.where(best > 0, row, xp.zeros_like(row))
        return left - row * row, xp.where(place == count, row[:, None, :], factor), count + 1

    factor = xp.zeros((kernel.shape[0], keep, kernel.shape[1]), dtype=kernel.dtype, device=device(kernel))
    return greedy(v, own, (own, factor, 0), gains, update, keep)
