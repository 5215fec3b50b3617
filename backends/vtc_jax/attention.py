"""Attention of all heads."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

Queries = Float[Array, "batch queries heads head_dim"]
Tokens = Float[Array, "batch length heads head_dim"]
Mask = Bool[Array, "batch 1 1 length"]  # of the keys that are there, where some are not


# (query, keys, values, scale=...) -> softmax(scale * query . keys) . values for every head, such as `attention` below
# and `jax.nn.dot_product_attention`. Methods that drop tokens inside the encoder give it `mask=` as well.
AttentionFunction = Callable[..., Queries]


def attention(query: Queries, keys: Tokens, values: Tokens, *, scale: float, mask: Mask | None = None) -> Queries:
    """In XLA's operations, the softmax in float32 at least: for every dtype and every platform.

    `jax.nn.dot_product_attention` makes XLA's operations too, unless told otherwise, but in an order that XLA does not
    fuse into one kernel on a CPU, as it does these (ViT-L/14-336, batch 4, two cores: 0.14 s against 0.10 s a layer).
    In float16 a CPU does not compile it (jax 0.10), and the softmax of float64 it takes in float32.
    """
    query, keys, values = (x.swapaxes(1, 2) for x in (query, keys, values))  # batch heads length head_dim
    wide = jnp.promote_types(query.dtype, jnp.float32)
    logits = scale * jnp.matmul(query, keys.swapaxes(2, 3), preferred_element_type=wide)
    weights = jax.nn.softmax(logits if mask is None else jnp.where(mask, logits, -jnp.inf), axis=-1)
    return jnp.matmul(weights.astype(values.dtype), values).swapaxes(1, 2)
