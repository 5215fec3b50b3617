"""What torch does in a `with` block: the tensors that it makes, those that live at once, what a GPU would wait for."""

from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def tensors(*trees: Any) -> list[Tensor]:
    return [x for tree in trees for x in tree_leaves(tree) if isinstance(x, Tensor)]


class Shapes(TorchDispatchMode):
    """The shape of every tensor that was made."""

    def __init__(self):
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.seen.update(tuple(x.shape) for x in tensors(out))
        return out


class Maps(TorchDispatchMode):
    """`most`: how many maps of `tokens` x `tokens` numbers a picture live at once. Views and bits are not counted."""

    def __init__(self, batch: int, tokens: int):
        super().__init__()
        self.size = batch * tokens * tokens
        self.living: dict[int, tuple[StorageWeakRef, float]] = {}
        self.most = 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in tensors(out):
            if x.dtype != torch.bool and x.untyped_storage().nbytes() >= x.itemsize * self.size:
                storage = x.untyped_storage()
                count = storage.nbytes() / x.itemsize / self.size
                self.living[storage._cdata] = (StorageWeakRef(storage), count)
        self.living = {key: value for key, value in self.living.items() if not value[0].expired()}
        self.most = max(self.most, sum(count for _, count in self.living.values()))
        return out


WAITING = ("local_scalar_dense", "nonzero", "unique", "bincount", "masked_select", "is_nonzero", "equal", "histc")


class Waits(TorchDispatchMode):
    """Operations for which the host has to know what is in a tensor, and copies from a device to the host: `seen`."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.lstrip("_")
        to_host = any(x.device.type != "cpu" for x in tensors(args)) and any(
            x.device.type == "cpu" for x in tensors(out)
        )
        by_mask = name.startswith("index") and any(x.dtype == torch.bool for x in tensors(args[1:2]))
        if name.startswith(WAITING) or to_host or by_mask:
            self.seen.append(name)
        return out
