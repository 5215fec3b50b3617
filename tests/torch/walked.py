"""The methods of the catalogue that walk the whole tower, and an encoder with one of them."""

from typing import Any

from small_models import make_tower
from torch import nn

from vtc_core.methods import METHODS, reads_prompt
from vtc_torch import PrunedEncoder

# The others drop tokens on their way, or read a prompt.
WALKED = [name for name, kind in METHODS.items() if not kind.progressive and not reads_prompt(kind)]


def encoder_of(name: str, keep: int = 7, tower: Any = None, device: str = "cpu") -> PrunedEncoder:
    kind = METHODS[name]
    projector = nn.Linear(32, 24, device=device).requires_grad_(False) if "projected" in kind.needs else None
    return PrunedEncoder(make_tower() if tower is None else tower, keep, kind(), projector=projector)
