"""A method that sees whatever a test asks for, and keeps the first tokens."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtc_core.methods import Choice, Method


@dataclass(frozen=True)
class Sees(Method):
    name: ClassVar[str] = "sees"
    looks_at: ClassVar[str] = "what a test asks for"
    source: ClassVar[str] = "tests"

    needs: tuple[str, ...] = ()  # type: ignore[misc]
    layers: tuple[int, ...] = ()
    threshold: float = 5.0  # of sinks
    merges: bool = False  # type: ignore[misc]

    def layers_seen(self, depth, feature_layer):
        return self.layers

    def choose(self, v, seen, keep):
        batch, tokens = seen.tile.shape
        indices = torch.arange(keep, device=seen.tile.device).expand(batch, -1)
        return Choice(indices, torch.zeros(batch, tokens, device=seen.tile.device))
