"""An encoder as one file of StableHLO, its weights inside, for pictures in any number."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, export
from jax.typing import DTypeLike

from vtc_core import arguments

BATCH = 2  # of the comparison


def write(
    encode: Callable[[Array], Sequence[Array]],
    picture: tuple[int, int, int],
    dtype: DTypeLike,
    path: Path,
    platforms: Sequence[str],
    overwrite: bool,
) -> None:
    """Write `encode`, which takes a batch of pictures of this shape and dtype, and compare the file with it."""
    arguments.vacant(path, overwrite)
    shape = export.symbolic_shape(f"batch, {', '.join(map(str, picture))}")
    jitted = jax.jit(encode)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(export.export(jitted, platforms=platforms)(jax.ShapeDtypeStruct(shape, dtype)).serialize())
        pixel_values = jnp.asarray(np.random.default_rng(0).standard_normal((BATCH, *picture)), dtype)
        compare(export.deserialize(bytearray(part.read_bytes())).call(pixel_values), jitted(pixel_values))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def compare(got: Any, expected: Sequence[Array]) -> None:
    """RuntimeError unless the indices are equal, and the rest up to a few roundings, of the largest.

    Measured on CPU: no bit differs, in any dtype.
    """
    rounding = jnp.finfo(expected[0].dtype).eps  # of the encoder's own dtype: its scores are float32 whatever that is
    for name, a, b in zip(("features", "indices", "scores"), got, expected, strict=True):
        difference = jnp.abs(a - b).max()
        allowed = 0 if name == "indices" else 8 * rounding * jnp.abs(b).max()
        if not difference <= allowed:  # NaN is a difference, too
            raise RuntimeError(
                f"the exported encoder is not the encoder: {name} differ by {difference:.2g}, allowed are {allowed:.2g}"
            )
