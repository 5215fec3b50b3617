"""Stages on every array library, as tests ask them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from methods.vectors import BACKENDS, Case, cases

from vtc_core.methods import Choice
from vtc_core.stages import EMPTY, Running, Stage

both = pytest.mark.parametrize("backend", ["numpy", "torch"])


def cases_of(method: str) -> list[Any]:
    """The cases themselves."""
    return [case.values[0] for case in cases(method)]


def authors(method: str, when: Callable[[Case], bool] = lambda case: True) -> Any:
    """Every case on NumPy and torch, one on JAX, which compiles every operation for every shape."""
    chosen = list(filter(when, cases_of(method)))
    pairs = [(backend, case) for backend in ("numpy", "torch") for case in chosen]
    pairs += [("jax", chosen[0])]
    named = [pytest.param(backend, case, id=f"{backend}-{case.name}") for backend, case in pairs]
    return pytest.mark.parametrize(("backend", "case"), named)


def running(visual, **fields: Any) -> Running:
    """Of NumPy arrays, without places unless they are given."""
    visual = np.asarray(visual)
    return Running(visual, fields.pop("places", np.full((*visual.shape, 2), -1)), **fields)


def picture(start: int, tokens: int, batch: int = 1) -> np.ndarray:
    """Where the tokens of one picture are, the same in every row."""
    return np.tile(np.arange(start, start + tokens), (batch, 1))


def ask(backend: str, stage: Stage, seen: Running, keep: int, scale: float = 1.0, layer: int | None = None) -> Choice:
    """What the stage chooses, as NumPy arrays; before the first of its layers unless one is given."""
    v, converted = BACKENDS[backend]
    arrays = Running(*(None if field is None else converted(field) for field in seen))
    layer = stage.schedule(64, seen.visual.shape[1])[0][0] if layer is None else layer
    choose = functools.partial(stage.choose, v, keep=keep, scale=scale, layer=layer)
    made = (jax.jit(choose) if backend == "jax jitted" else choose)(arrays)
    return Choice(*(None if field is None else np.asarray(field) for field in made))


def left(choice: Choice, row: int = 0) -> list[int]:
    """The indices of a row without its empty end."""
    return [index for index in choice.indices[row].tolist() if index != EMPTY]


def sequence(choice: Choice, hidden: np.ndarray, visual: np.ndarray, row: int = 0) -> np.ndarray:
    """The hidden states of a row that go on: text before, what is left, text after. For one picture."""
    places, states = visual[row], hidden[row].astype("f8")
    kept = [index != EMPTY for index in choice.indices[row]]
    weights = np.eye(len(places))[choice.indices[row]] if choice.weights is None else choice.weights[row]
    return np.concatenate([states[: places[0]], (weights @ states[places])[kept], states[places[-1] + 1 :]])
