"""Tokens one after the other, each the best one beside those before: one skeleton, and the rules that fill it.

All return the order of choice, (batch keep): budgets are nested, and no token is chosen twice. Ties: the lower index.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from array_api_compat import array_namespace
from jaxtyping import Float, Int

from .parts import arange

Matrix = Float[Any, "batch tokens tokens"]
Scores = Float[Any, "batch tokens"]
Order = Int[Any, "batch keep"]


def greedy(
    v: ModuleType,
    start: Scores,
    state: Float[Any, "batch tokens"],
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
def cover(v: ModuleType, similarity: Matrix, keep: Any) -> Order:
    """Facility location: the token that adds most to sum_i max_chosen similarity_ij; similarities are at least 0."""
    xp = array_namespace(similarity)

    def gains(covered: Scores) -> Scores:
        more = similarity - covered[:, :, None]
        return xp.sum(xp.where(more > 0, more, 0.0), axis=1)

    def update(covered: Scores, pick: Int[Any, "batch 1"]) -> Scores:
        return xp.maximum(covered, v.gather(similarity, pick)[:, 0])

    return greedy(v, xp.sum(similarity, axis=1), xp.zeros_like(similarity[:, 0]), gains, update, keep)
