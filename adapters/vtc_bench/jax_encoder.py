"""The ways to run a CLIP encoder in JAX, on random weights: pruned and whole, each compiled as one function."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
from flax import nnx
from jax import Array

from vtc_core.methods import Method
from vtc_jax import Pruned, PrunedEncoder
from vtc_jax.tower import CLIPTower, TowerConfig

from .costs import Geometry

PACKAGES = ("jax", "flax")
PRUNED, WHOLE = "pruned, jit", "unpruned, jit"


class Compiled(NamedTuple):
    run: Callable[[], Any]
    seconds: float  # that tracing and compiling took


def compiled(g: Geometry, batch: int, keep: int, method: Method) -> dict[str, Compiled]:
    """Name to run, in float32 on the default device; a run blocks until its work is done."""
    config = TowerConfig(g.dim, g.mlp, g.depth, g.heads, image_size=g.image_size, patch_size=g.patch)
    tower = CLIPTower(config, rngs=nnx.Rngs(0))
    projector = _same if "projected" in method.needs else None  # features stand in for projected tokens
    encoder = PrunedEncoder(tower, keep, method, projector=projector)
    pixel_values = jax.random.normal(jax.random.key(batch), (batch, 3, g.image_size, g.image_size))
    return {
        PRUNED: _compile(_pruned, encoder, pixel_values),
        WHOLE: _compile(_whole, tower, pixel_values),
    }


def float32_runs(g: Geometry, batch: int, keep: int, method: Method) -> dict[str, Callable[[], Any]]:
    made = {name: one.run for name, one in compiled(g, batch, keep, method).items()}
    return {PRUNED: made[PRUNED], WHOLE: lambda: made[WHOLE]()[0]}


def _same(features: Array) -> Array:
    return features


def _pruned(encoder: PrunedEncoder, pixel_values: Array) -> Pruned:
    return encoder(pixel_values)


def _whole(tower: CLIPTower, pixel_values: Array) -> tuple[Array, Array]:
    """The features, and the last hidden state too: XLA would leave out a layer whose result nobody takes."""
    *_, features, last = tower(pixel_values)
    return features[:, 1:], last


def _compile(function: Callable[..., Any], module: nnx.Module, pixel_values: Array) -> Compiled:
    start = time.perf_counter()
    program = jax.jit(function).lower(module, pixel_values).compile()
    seconds = time.perf_counter() - start
    return Compiled(partial(_blocking, program, module, pixel_values), seconds)


def _blocking(program: Callable[..., Any], *args: Any) -> Any:
    return jax.block_until_ready(program(*args))
