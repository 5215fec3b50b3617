"""The encoder packed for a CPU (`vtc_torch.pack`), beside the same without."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vtc_core.methods import Method
from vtc_torch import pack

from . import torch_encoder
from .costs import Geometry

PACKAGES = torch_encoder.PACKAGES
PACKED, SDPA = "pruned, packed", "pruned, packed linear layers, sdpa"


def float32_runs(g: Geometry, batch: int, keep: int, method: Method) -> dict[str, Callable[[], Any]]:
    return runs(g, torch_encoder.pixels(g, batch), keep, method)


def runs(g: Geometry, pixel_values: Tensor, keep: int, method: Method) -> dict[str, Callable[[], Any]]:
    """In the dtype of `pixel_values`; in bfloat16 also with sdpa, as vLLM's packed kernels with sdpa would be."""
    towers = {PACKED: pack(torch_encoder.tower(g, dtype=pixel_values.dtype))}
    if pixel_values.dtype == torch.bfloat16:
        towers[SDPA] = pack(torch_encoder.tower(g, dtype=torch.bfloat16))
        towers[SDPA].set_attn_implementation("sdpa")
    encoders = {name: torch_encoder.pruned(tower, keep, method) for name, tower in towers.items()}
    made = {name: torch_encoder.without_gradients(partial(each, pixel_values)) for name, each in encoders.items()}
    stock = torch_encoder.runs(g, pixel_values, keep, method)
    return {PACKED: made.pop(PACKED), torch_encoder.WHOLE: stock.pop(torch_encoder.WHOLE), **made, **stock}
