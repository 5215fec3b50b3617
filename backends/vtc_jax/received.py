"""Signals that need all queries: how much attention a patch receives, without the map that would tell."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from vtc_core import checks

from .verbs import mean


@checks.before(checks.received_attention)
def received_attention(
    query: Float[Array, "batch heads tokens head_dim"],
    keys: Float[Array, "batch heads length head_dim"],
    scale: float,
    block: int = 64,
    weights: Float[Array, "batch tokens"] | None = None,
) -> Float[Array, "batch heads tokens"]:
    """The mean attention that each token receives from all query tokens, in float32 at least.

    The last keys are those of the query tokens (length = tokens, or 1 + tokens with CLS, which takes
    its share of every softmax and is then dropped, as in `attend`). With `weights` the mean is over the queries with
    these weights; their sum must not be 0.

    `block` queries are taken at a time: (batch heads block length) numbers of the map exist at once, so that memory
    grows with tokens, not with their square. The sum over blocks differs between block sizes by rounding only.
    """
    batch, heads, tokens, _ = query.shape
    wide = jnp.promote_types(query.dtype, jnp.float32)
    shares = jnp.full((batch, tokens), 1 / tokens, wide) if weights is None else (weights / weights.sum(1)[:, None])
    blocks = -(-tokens // block)
    beyond = blocks * block - tokens  # queries that there are not, with no weight
    shares = jnp.pad(shares.astype(wide), ((0, 0), (0, beyond))).reshape(batch, blocks, block)
    query = jnp.pad(query.astype(wide), ((0, 0), (0, 0), (0, beyond), (0, 0))).reshape(batch, heads, blocks, block, -1)
    keys = keys.astype(wide)

    def add(total: Array, some: tuple[Array, Array]) -> tuple[Array, None]:
        queries, share = some  # batch heads block head_dim, batch block
        logits = scale * jnp.einsum("bhqd,bhnd->bhqn", queries, keys, precision=jax.lax.Precision.HIGHEST)
        rows = jax.nn.softmax(logits, axis=-1)
        return total + jnp.einsum("bhqn,bq->bhn", rows, share, precision=jax.lax.Precision.HIGHEST), None

    nothing = jnp.zeros((batch, heads, keys.shape[2]), wide)
    total, _ = jax.lax.scan(add, nothing, (jnp.moveaxis(query, 2, 0), jnp.moveaxis(shares, 1, 0)))
    return total[..., -tokens:]


def sinks(
    query: Float[Array, "batch heads tokens head_dim"],
    keys: Float[Array, "batch heads length head_dim"],
    scale: float,
    threshold: float,
) -> Float[Array, "batch heads tokens"]:
    """What the sinks among the patches attend to: the mean over the queries of sinks.

    A sink receives more than `threshold` times the mean attention (VFlowOpt); the one that receives most is always one.
    """
    got = mean(received_attention(query, keys, scale), 1)  # batch tokens
    is_sink = (got > threshold * got.mean(1, keepdims=True)) | (got == got.max(1, keepdims=True))
    return received_attention(query, keys, scale, weights=is_sink.astype(got.dtype))
