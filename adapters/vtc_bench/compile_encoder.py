"""The encoder through `torch.compile` (inductor), pruned and whole."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vtc_torch import PrunedEncoder

from . import torch_encoder
from .costs import Geometry

PACKAGES = torch_encoder.PACKAGES


def float32_runs(g: Geometry, batch: int, keep: int, layers: int) -> dict[str, Callable[[], Any]]:
    return runs(g, torch_encoder.pixels(g, batch), keep, layers)


def runs(g: Geometry, pixel_values: Tensor, keep: int, layers: int) -> dict[str, Callable[[], Any]]:
    """On the device and in the dtype of `pixel_values`; each is compiled at its first call."""
    tower = torch_encoder.tower(g, device=str(pixel_values.device), dtype=pixel_values.dtype)
    pruned = torch.compile(PrunedEncoder(tower, keep, layers))
    whole = torch.compile(partial(torch_encoder.whole, tower))
    made = {"pruned, compiled": partial(pruned, pixel_values), "unpruned, compiled": partial(whole, pixel_values)}
    return {name: torch_encoder.without_gradients(run) for name, run in made.items()}
