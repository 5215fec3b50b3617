"""What is noted on the way through a tower: of some layers' queries and keys, what a method needs of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vtc_core.methods import Method
from vtc_core.methods.method import ALL_QUERIES, ATTENTION

from .signals import SIGNALS

Heads = Float[Tensor, "batch heads length head_dim"]


class Notes:
    """`signals`, by the name of their field of `Seen`: (batch tokens) for each layer; `keys` of the latest layer."""

    def __init__(self, method: Method, first: int) -> None:
        self.method = method
        self.first = first  # patch token: 1 where token 0 is CLS
        self.all_queries = any(name in ALL_QUERIES for name in method.needs)
        self.signals: dict[str, list[Tensor]] = {name: [] for name in method.needs if name in ATTENTION}
        self.keys: Float[Tensor, "batch tokens heads head_dim"] | None = None

    def take(self, attention: Any, query: Float[Tensor, "batch heads asking head_dim"], keys: Heads) -> None:
        """Of one layer; `query` of CLS at least, or of all tokens where a signal needs them. Autocast is off inside."""
        with torch.no_grad(), torch.autocast(keys.device.type, enabled=False):
            for name, noted in self.signals.items():
                noted.append(SIGNALS[name](self.method, query, keys, attention.scale, self.first))
        if "keys" in self.method.needs:
            self.keys = keys[:, :, self.first :].transpose(1, 2)

    def of_call(self, layer: Any, hidden: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        """Call a layer as the module it is, and take what its projections make of queries and keys."""
        if torch.compiler.is_dynamo_compiling() or not hidden.shape[0]:
            self.of_input(layer, hidden)  # dynamo takes no hooks; of what is made twice its graphs keep one
            return call(layer, hidden)
        with self._listening(layer.self_attn):
            return call(layer, hidden)

    def of_input(self, layer: Any, hidden: Float[Tensor, "batch length dim"]) -> None:
        """Take the queries and keys that a layer would make of `hidden`, without the rest of it."""
        normed = layer.layer_norm1(hidden)
        asking = normed if self.all_queries else normed[:, :1]
        attention = layer.self_attn
        self.take(attention, heads(attention, attention.q_proj(asking)), heads(attention, attention.k_proj(normed)))

    @contextmanager
    def _listening(self, attention: Any) -> Iterator[None]:
        """Taken inside the layer, so that queries and keys are let go before the MLP, where memory peaks."""
        made: dict[str, Tensor] = {}
        thread = threading.get_ident()  # others may be in the same tower

        def hook(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
            if threading.get_ident() == thread:
                made[name] = output
            if len(made) == 2:
                self.take(attention, *(heads(attention, made.pop(name)) for name in ("q_proj", "k_proj")))

        hooks = [getattr(attention, name).register_forward_hook(partial(hook, name)) for name in ("q_proj", "k_proj")]
        try:
            yield
        finally:
            for handle in hooks:
                handle.remove()


def call(layer: Any, hidden: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
    """A whole layer, as a module. Stock layers refuse a batch of no pictures, which stays what it is."""
    return layer(hidden, None) if hidden.shape[0] else hidden


def heads(attention: Any, x: Float[Tensor, "batch length dim"]) -> Heads:
    return x.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)
