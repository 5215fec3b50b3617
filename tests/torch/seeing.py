"""A method that sees whatever a test asks for, and keeps the first tokens."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from vtc_core.methods import Choice, Method, Seen
from vtc_core.methods.method import OF_PROMPT

# What an encoder by itself shows where it is asked to: not what needs a prompt, or the text tower's other half.
FIELDS = [name for name in Seen._fields if name not in ("places", "tile", "flow", "image_embeds", *OF_PROMPT)]


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
