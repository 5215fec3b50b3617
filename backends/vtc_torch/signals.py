"""What is noted of a layer's queries and keys: one number for each patch token, a mean over heads, float32 at least."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vtc_core.methods import Method

from . import received
from .verbs import attend

Query = Float[Tensor, "batch heads queries head_dim"]  # of CLS alone, or of all tokens where a signal needs them
Keys = Float[Tensor, "batch heads length head_dim"]
Noted = Float[Tensor, "batch tokens"]


def cls_attention(method: Method, query: Query, keys: Keys, scale: float, first: int) -> Noted:
    return attend(query[:, :, 0], keys, scale).mean(1)


def cls_logits(method: Method, query: Query, keys: Keys, scale: float, first: int) -> Noted:
    wide = torch.promote_types(query.dtype, torch.float32)
    return (scale * (keys.to(wide) @ query[:, :, :1].to(wide).mT)).squeeze(-1).mean(1)[:, first:]


def joint_attention(method: Method, query: Query, keys: Keys, scale: float, first: int) -> Noted:
    """All heads side by side as one, of their whole dim."""
    (cls,), whole = query[:, :, :1].transpose(1, 2).flatten(2).split(1, 1), keys.transpose(1, 2).flatten(2)
    return attend(cls, whole[:, None], whole.shape[-1] ** -0.5)[:, 0]


def received_attention(method: Method, query: Query, keys: Keys, scale: float, first: int) -> Noted:
    return received.received_attention(query, keys, scale).mean(1)[:, first:]


def sink_attention(method: Any, query: Query, keys: Keys, scale: float, first: int) -> Noted:
    return received.sinks(query[:, :, first:], keys, scale, method.threshold)


SIGNALS: dict[str, Callable[..., Noted]] = {
    function.__name__: function
    for function in (cls_attention, cls_logits, joint_attention, received_attention, sink_attention)
}
