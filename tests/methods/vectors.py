"""Outputs of the authors' own code (tests/methods/reference), and the backends that have to give the same."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import vtc_core
import vtc_jax
import vtc_torch
from vtc_core.methods import Choice, Method, Seen

REFERENCE = Path(__file__).parent / "reference"
BACKENDS = {"numpy": (vtc_core, np.asarray), "torch": (vtc_torch, torch.tensor), "jax": (vtc_jax, jnp.asarray)}
BACKENDS |= {"jax jitted": BACKENDS["jax"]}
RTOL, ATOL = 1e-5, 1e-6  # the vectors' own tolerance for floats; integers are equal


class Case(NamedTuple):
    """One call of the authors' code; what the arrays are is said in reference/METHOD.json."""

    name: str
    params: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def cases(method):
    """For `pytest.mark.parametrize`: all cases of a file."""
    about = json.loads((REFERENCE / f"{method}.json").read_text())
    arrays = np.load(REFERENCE / f"{method}.npz")

    def of(case, kind):
        start = f"{case['case']}_{kind}_"
        return {name.removeprefix(start): arrays[name] for name in arrays.files if name.startswith(start)}

    made = [Case(case["case"], case["params"], of(case, "in"), of(case, "out")) for case in about["cases"]]
    assert made, f"no cases in {method}.json"
    return [pytest.param(case, id=case.name) for case in made]


def seen_of(side_or_places, batch, tokens, **fields):
    """A `Seen` of NumPy arrays: one tile of `side` rows, or the places that are given."""
    places = side_or_places
    if isinstance(places, int):
        places = np.stack(np.divmod(np.arange(tokens), side_or_places), -1)[None].repeat(batch, 0)
    return Seen(places, np.zeros((batch, tokens), int), **fields)


def choose(backend: str, method: Method, seen: Seen, keep: int) -> Choice:
    """What `method` chooses on a backend, as NumPy arrays."""
    v, converted = BACKENDS[backend]
    arrays = Seen(*(None if field is None else converted(field) for field in seen))
    call = jax.jit(lambda arrays: method.choose(v, arrays, keep)) if backend == "jax jitted" else None
    made = call(arrays) if call else method.choose(v, arrays, keep)
    return Choice(*(None if field is None else np.asarray(field) for field in made))


every_backend = pytest.mark.parametrize("backend", BACKENDS)
