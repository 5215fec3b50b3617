"""The encoder through `torch.compile` (inductor), pruned and whole."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vtc_core.methods import Method

from . import torch_encoder
from .costs import Geometry

PACKAGES = torch_encoder.PACKAGES


def float32_runs(g: Geometry, batch: int, keep: int, method: Method) -> dict[str, Callable[[], Any]]:
    return runs(g, torch_encoder.pixels(g, batch), keep, method)


def runs(g: Geometry, pixel_values: Tensor, keep: int, method: Method) -> dict[str, Callable[[], Any]]:
    """On the device and in the dtype of `pixel_values`; each is compiled at its first call."""
    tower = torch_encoder.tower(g, device=str(pixel_values.device), dtype=pixel_values.dtype)
    pruned = torch.compile(torch_encoder.pruned(tower, keep, method))
    whole = torch.compile(partial(torch_encoder.whole, tower))
    made = {"pruned, compiled": partial(pruned, pixel_values), "unpruned, compiled": partial(whole, pixel_values)}
    return {name: torch_encoder.without_gradients(run) for name, run in made.items()}
