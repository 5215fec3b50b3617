"""What the conformance suite asks of a backend besides the verbs (conformance/README.md, "The protocol")."""

import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from vtc_core.methods import VtcCls

from . import verbs
from .encoder import PrunedEncoder
from .verbs import Pruned

# JAX has float64 only where the user switched it on, for the whole process (JAX_ENABLE_X64=1).
dtypes = ("float16", "bfloat16", "float32", *(("float64",) if jnp.result_type(float) == jnp.float64 else ()))


def devices() -> tuple[str, ...]:
    return tuple(dict.fromkeys(("cpu", jax.default_backend())))


def from_numpy(array: np.ndarray, device: str = "cpu") -> Array:
    """A copy on `device`."""
    return jnp.array(array, device=jax.devices(device)[0])


def to_numpy(x: Array) -> np.ndarray:
    return np.asarray(x)


def load_encoder(
    checkpoint_dir: str, *, keep: int, layers: int | Sequence[int], reduce: str, device: str = "cpu"
) -> Callable[[Array], Pruned]:
    """Pixels to `Pruned`, in the dtype of the checkpoint."""
    with jax.default_device(jax.devices(device)[0]):
        return PrunedEncoder.from_pretrained(checkpoint_dir, keep, VtcCls(layers, reduce))  # type: ignore[arg-type]


# One function for all encoders: those of equal settings and shapes share what was compiled.
_encode = nnx.jit(lambda encoder, pixel_values: encoder(pixel_values))


def _load_jitted(*args: Any, **kwargs: Any) -> Callable[[Array], Pruned]:
    return functools.partial(_encode, load_encoder(*args, **kwargs))


variants = {
    "jit": SimpleNamespace(
        dtypes=("float32",),  # each is compiled for every shape: the others are held to the same without
        attend=jax.jit(verbs.attend),
        score=jax.jit(verbs.score, static_argnames="reduce"),
        select=jax.jit(verbs.select, static_argnames="keep"),
        gather=jax.jit(verbs.gather),
        prune=jax.jit(verbs.prune, static_argnames=("keep", "reduce")),
        load_encoder=_load_jitted,
    )
}
