"""What is noted of a layer's queries and keys: one number for each head and patch token, float32 at least."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from . import received
from .attention import Queries, Tokens
from .verbs import attend

Noted = Float[Array, "batch _ tokens"]  # heads, or 1 of all of them


def cls_attention(method: Any, query: Queries, keys: Tokens, scale: float) -> Noted:
    return attend(query[:, 0], keys.swapaxes(1, 2), scale)


def cls_logits(method: Any, query: Queries, keys: Tokens, scale: float) -> Noted:
    wide = jnp.promote_types(query.dtype, jnp.float32)
    cls, patches = query[:, 0].astype(wide), keys[:, 1:].astype(wide)
    return scale * jnp.einsum("bhd,bnhd->bhn", cls, patches, precision=jax.lax.Precision.HIGHEST)


def joint_attention(method: Any, query: Queries, keys: Tokens, scale: float) -> Noted:
    """All heads side by side as one, of their whole dim."""
    cls, whole = (x.reshape(*x.shape[:2], x.shape[2] * x.shape[3]) for x in (query[:, :1], keys))
    return attend(cls, whole[:, None], whole.shape[-1] ** -0.5)


def received_attention(method: Any, query: Queries, keys: Tokens, scale: float) -> Noted:
    return received.received_attention(query.swapaxes(1, 2), keys.swapaxes(1, 2), scale)[:, :, 1:]


def sink_attention(method: Any, query: Queries, keys: Tokens, scale: float) -> Noted:
    return received.sinks(query[:, 1:].swapaxes(1, 2), keys.swapaxes(1, 2), scale, method.threshold)


SIGNALS: dict[str, Callable[..., Noted]] = {
    function.__name__: function
    for function in (cls_attention, cls_logits, joint_attention, received_attention, sink_attention)
}
