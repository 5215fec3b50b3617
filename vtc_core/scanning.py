"""The loop of greedy selectors, as every backend has one: here a plain one, which serves NumPy and torch."""

from collections.abc import Callable
from typing import Any


def scan(step: Callable[..., tuple[Any, ...]], state: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """`state = step(i, *state)` for i in [0, count). Arrays keep their shapes and dtypes from step to step.

    In JAX it is one compiled loop, in ONNX a Loop node: the count may be a number that is known at run time only.
    """
    for i in range(count):
        state = step(i, *state)
    return state
