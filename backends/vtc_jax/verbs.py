"""The verbs of `vtc_core.spec` on JAX arrays; clause numbers are the specification's.

They can be jitted (`keep` and `reduce` static), mapped (`jax.vmap`) and differentiated in `features`.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Integer, ScalarLike, Shaped

from vtc_core import checks


class Pruned(NamedTuple):
    """What pruning returns; a pytree."""

    features: Shaped[Array, "batch keep dim"]  # a copy of the kept tokens
    indices: Integer[Array, "batch keep"]  # ascending; int32, or int64 under x64
    scores: Float[Array, "batch tokens"]  # of all tokens, float32 at least


def _wide(x: Array) -> jnp.dtype:
    """The dtype to accumulate in: float32 at least."""
    return jnp.promote_types(x.dtype, jnp.float32)


@checks.before(checks.attend)
def attend(
    query: Float[Array, "batch heads head_dim"], keys: Float[Array, "batch heads length head_dim"], scale: ScalarLike
) -> Float[Array, "batch heads length-1"]:
    """S1: one row of softmax attention, the CLS query against all keys (length = 1 + tokens); float32 at least.

    In full precision also where float32 products have fewer bits by default (TPU, TF32).
    """
    wide = _wide(query)
    logits = scale * jnp.einsum(
        "bhd,bhnd->bhn", query.astype(wide), keys.astype(wide), precision=jax.lax.Precision.HIGHEST
    )
    return jax.nn.softmax(logits, axis=-1)[..., 1:]


@checks.before(checks.score)
def score(
    cls_attention: Float[Array, "layers batch heads tokens"], reduce: str = "sum"
) -> Float[Array, "batch tokens"]:
    """S2: mean over heads, then `reduce` over layers ('sum', 'mean', 'max', 'min'); accumulated in float32 at least."""
    per_layer = mean(cls_attention, 2)  # layers batch tokens
    if reduce == "mean":
        return mean(per_layer, 0)
    return _in_order({"sum": jnp.add, "max": jnp.maximum, "min": jnp.minimum}[reduce], per_layer, 0)


def mean(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """In float32 at least."""
    return _in_order(jnp.add, x.astype(_wide(x)), axis) / x.shape[axis]


def _in_order(of_two: Callable[[Array, Array], Array], x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """One after the other, as the specification does.

    XLA's own reductions differ: sums in their order, with shapes and platforms, and a maximum or minimum of long rows
    leaves NaN out on a CPU (jax 0.10: from about 1,728 numbers on, and of nothing but NaN it is an infinity).
    """
    return functools.reduce(of_two, jnp.unstack(x, axis=axis))


@checks.before(checks.select)
def select(scores: Float[Array, "batch tokens"], keep: SupportsIndex) -> Integer[Array, "batch keep"]:
    """S3: the `keep` highest scores in raster order; the lower index wins ties, NaN is last. S4: `keep` in [1, tokens].

    Sorted as integers. Of floating-point numbers `jax.lax.top_k` has -0.0 below 0.0 and NaN first, and JAX's sort takes
    subnormal numbers for zeros.
    """
    ranked = jnp.argsort(_order(scores), axis=-1, stable=True)
    return jnp.sort(ranked[:, : int(keep)], axis=-1)


def _order(scores: Float[Array, "batch tokens"]) -> Integer[Array, "batch tokens"]:
    """The order of S3, the best score the lowest number: sign and magnitude of the bits, and NaN after -inf."""
    kind = jnp.dtype(f"int{8 * scores.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(scores, kind)
    inf = jax.lax.bitcast_convert_type(jnp.array(jnp.inf, scores.dtype), kind)
    magnitude = bits & jnp.iinfo(kind).max
    return jnp.where(magnitude > inf, inf + 1, jnp.where(bits < 0, magnitude, -magnitude))


@checks.before(checks.gather)
def gather(
    features: Shaped[Array, "batch tokens dim"], indices: Integer[Array, "batch keep"]
) -> Shaped[Array, "batch keep dim"]:
    """S5: a copy of the kept tokens, bit for bit; differentiable in `features`. `indices` lie in [0, tokens).

    Others are clipped to that: JAX cannot raise under jit, and its own default, to fill with NaN, changes the bits of
    signalling NaN in bfloat16.
    """
    return jnp.take_along_axis(features, indices[:, :, None], axis=1, mode="clip")


@checks.before(checks.prune)
def prune(
    features: Shaped[Array, "batch tokens dim"],
    cls_attention: Float[Array, "layers batch heads tokens"],
    keep: SupportsIndex,
    reduce: str = "sum",
) -> Pruned:
    """S2 to S5 in a row: score the tokens, select `keep` of them, gather their features."""
    scores = score(cls_attention, reduce)
    indices = select(scores, keep)
    return Pruned(gather(features, indices), indices, scores)


def scan(step: Callable[..., tuple[Any, ...]], state: tuple[Any, ...], count: int | Array) -> tuple[Any, ...]:
    """`state = step(i, *state)` for i in [0, count), as one compiled loop; see `vtc_core.scan`."""
    return jax.lax.fori_loop(0, count, lambda i, state: step(i, *state), state)
