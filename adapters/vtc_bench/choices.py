"""What a choice costs by itself, at the sizes of an encoder: seconds, and memory of what it makes."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import vtc_torch
from vtc_core.methods import Method, Seen, spelled
from vtc_core.methods.method import ATTENTION, OF_PROMPT
from vtc_core.methods.parts import places_of

from .costs import Geometry
from .torch_encoder import without_gradients

LANGUAGE = 4096  # dim of a 7B language model, and of projected tokens
EMBED = 768  # of CLIP ViT-L's joint space
WORDS = 16  # of a prompt


class Memory(NamedTuple):
    """Bytes that a choice makes, its result included; what it sees, and what operations need inside, is not in it."""

    largest: int  # tensor
    peak: int  # of all that are alive at one time


def seen(g: Geometry, batch: int, method: Method) -> Seen:
    """Random numbers of the shape of what a method sees of `batch` pictures."""
    generator = torch.Generator().manual_seed(batch)
    layers = len(method.layers_seen(g.depth, -2))
    shapes = {"keys": (g.heads, g.dim // g.heads), "projected": (LANGUAGE,)}
    shapes |= dict.fromkeys(("features", "cls_feature"), (g.dim,)) | dict.fromkeys(ATTENTION, (layers,))
    shapes |= {"text": (LANGUAGE,), "image_embeds": (EMBED,), "text_embeds": (EMBED,)}

    def field(name: str) -> Float[Tensor, "batch some *more"]:
        count = WORDS if name in OF_PROMPT else g.tokens
        drawn = torch.randn(batch, count, *shapes[name], generator=generator)
        return drawn.softmax(1) if name in ATTENTION and name != "cls_logits" else drawn

    numbers = torch.arange(g.tokens)
    return Seen(
        places_of(numbers, g.tokens).expand(batch, -1, -1),
        torch.zeros(batch, g.tokens, dtype=torch.int64),
        **{name: field(name) for name in method.needs},
    )


def runs(g: Geometry, batch: int, keep: int, methods: Iterable[Method]) -> dict[str, Callable[[], Any]]:
    """Spelling to run: the choice in torch on the CPU, float32."""
    return {spelled(method): without_gradients(_choice(g, batch, keep, method)) for method in methods}


def memory(g: Geometry, batch: int, keep: int, method: Method) -> Memory:
    run = _choice(g, batch, keep, method)
    with torch.no_grad(), _Watched() as watched:
        run()
    return Memory(watched.largest, watched.peak)


def _choice(g: Geometry, batch: int, keep: int, method: Method) -> Callable[[], Any]:
    return partial(method.choose, vtc_torch, seen(g, batch, method), keep)


class _Watched(TorchDispatchMode):
    """Storages that operations make, for as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {x.untyped_storage().data_ptr() for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        result = func(*args, **(kwargs or {}))
        self._alive = {key: held for key, held in self._alive.items() if not held[0].expired()}
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and (key := x.untyped_storage().data_ptr()) not in given:  # else a view
                self._alive[key] = StorageWeakRef(x.untyped_storage()), x.untyped_storage().nbytes()
        sizes = [size for _, size in self._alive.values()]
        self.largest, self.peak = max([self.largest, *sizes]), max(self.peak, sum(sizes))
        return result
