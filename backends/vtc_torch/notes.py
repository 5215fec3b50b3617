"""What is noted on the way through a tower: of what some layers project, what a method needs of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vtc_core.methods import Method
from vtc_core.methods.method import ALL_QUERIES, ATTENTION

from .blocks import KEYS, QUERY, Heads, Hidden, attention_of, call, heads, normed, project, projections
from .signals import SIGNALS


class Notes:
    """`signals`, by the name of their field of `Seen`: (batch tokens) for each layer; `keys` of the latest layer."""

    parts: ClassVar[tuple[str, ...]] = (QUERY, KEYS)  # of attention, what `take` takes

    def __init__(self, method: Method, first: int) -> None:
        self.method = method
        self.first = first  # patch token: 1 where token 0 is CLS
        self.all_queries = any(name in ALL_QUERIES for name in method.needs)
        self.signals: dict[str, list[Tensor]] = {name: [] for name in method.needs if name in ATTENTION}
        self.keys: Float[Tensor, "batch tokens heads head_dim"] | None = None

    def take(self, attention: Any, query: Float[Tensor, "batch heads queries head_dim"], keys: Heads) -> None:
        """Of one layer; `query` of CLS at least, or of all tokens where a signal needs them. Autocast is off inside."""
        with torch.no_grad(), torch.autocast(keys.device.type, enabled=False):
            for name, noted in self.signals.items():
                noted.append(SIGNALS[name](self.method, query, keys, attention.scale, self.first))
        if "keys" in self.method.needs:
            self.keys = keys[:, :, self.first :].transpose(1, 2)

    def of_call(self, layer: Any, hidden: Hidden, mask: Any = None) -> Hidden:
        """Call a layer as the module it is, and take what its projections make."""
        if torch.compiler.is_dynamo_compiling() or not hidden.shape[0]:
            self.of_input(layer, hidden)  # dynamo takes no hooks; of what is made twice its graphs keep one
            return call(layer, hidden, mask)
        with self._listening(attention_of(layer)):
            return call(layer, hidden, mask)

    def of_input(self, layer: Any, hidden: Hidden) -> None:
        """Take the queries and keys that a layer would make of `hidden`, without the rest of it."""
        attention, given = attention_of(layer), normed(layer, hidden)
        querying = given if self.all_queries else given[:, :1]
        self.take(attention, *(project(attention, part, querying if part == QUERY else given) for part in self.parts))

    @contextmanager
    def _listening(self, attention: Any) -> Iterator[None]:
        """Taken inside the layer, so that queries and keys are let go before the MLP, where memory peaks."""
        made: dict[str, Tensor] = {}
        thread = threading.get_ident()  # others may be in the same tower

        def hook(part: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
            if threading.get_ident() == thread:
                made[part] = output
            if len(made) == len(self.parts):
                self.take(attention, *(heads(attention, made.pop(part)) for part in self.parts))

        hooks = [projections(attention, part)[-1].register_forward_hook(partial(hook, part)) for part in self.parts]
        try:
            yield
        finally:
            for handle in hooks:
                handle.remove()
