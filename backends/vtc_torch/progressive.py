"""The way through a vision tower of a method that drops tokens as it goes: layers work on fewer and fewer of them."""

from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers.masking_utils import create_bidirectional_mask

from vtc_core.methods import Method, flowcut
from vtc_core.methods.flowcut import Flow

from . import towers, verbs, wrapping
from .blocks import VALUES, Heads, Hidden, call, layers_of
from .notes import Notes
from .verbs import gather
from .walk import Looked, Project, competing


class FlowNotes(Notes):
    """`flow`: what is left of the tokens that came into the latest layer."""

    parts: ClassVar[tuple[str, ...]] = (*Notes.parts, VALUES)

    def __init__(self, method: Method, flow: Flow, keep: int, layers: int) -> None:
        super().__init__(method, 1)
        self.flow, self.keep, self.layers = flow, keep, layers
        self.number = 0

    def take(  # type: ignore[override]
        self, attention: Any, query: Float[Tensor, "batch heads queries head_dim"], keys: Heads, values: Heads
    ) -> None:
        with torch.no_grad(), torch.autocast(keys.device.type, enabled=False):
            settings = attention.scale, self.keep, self.number, self.layers
            self.flow = flowcut.after_layer(self.flow, query, keys, values, *settings)
        self.number += 1


class ProgressiveWalk(NamedTuple):
    """For which method, which layers are noted, which hidden states are the features, and how many tokens stay.

    Every row drops as many tokens as it does alone. In a batch layers work on as many as the row with most of them has
    left; of the other rows, dropped tokens fill the places, masked: they are no keys, and cost what others do. One
    row alone, or rows that have equally many, need no mask. After each cut the number of tokens that are left is read
    from the device, which waits for it: 10 times in the 23 useful layers of ViT-L.

    Traced (torch.compile, export), where sizes cannot depend on data, no token leaves before the last cut: all are
    masked, the result is the same, and nothing but the last useful layer is saved.
    """

    method: Method
    layers: tuple[int, ...]
    feature_layers: tuple[int, ...]
    keep: int

    def __call__(
        self, tower: Any, pixel_values: Float[Tensor, "batch channels height width"], project: Project | None = None
    ) -> Looked:
        """Walk `tower` up to the last useful layer, all of its layers called as modules."""

        def run(pixel_values: Tensor) -> Looked:
            hidden = towers.embed(tower, pixel_values)  # batch 1+tokens dim
            seen = competing(hidden, 1)
            notes = FlowNotes(self.method, flowcut.every(seen), self.keep, len(self.layers))
            states = {0: hidden} if 0 in self.feature_layers else {}  # hidden states that are features
            scores, mask = notes.flow.scores, None  # scores: of all tokens of the tile
            for number, layer in enumerate(layers_of(tower)[: max(self.feature_layers)]):
                noted = number in self.layers
                hidden = notes.of_call(layer, hidden, mask) if noted else call(layer, hidden, mask)
                if number + 1 in self.feature_layers:
                    states[number + 1] = hidden
                if not noted or not flowcut.cuts(number, len(self.layers)):
                    continue
                fewest, most = (self.keep,) * 2 if number == self.layers[-1] else _left(notes.flow.left)
                if most < notes.flow.left.shape[1]:
                    scores = _told(scores, notes.flow)
                    notes.flow, places = flowcut.packed(verbs, notes.flow, most)
                    numbers = torch.cat([torch.zeros_like(places[:, :1]), places + 1], 1)
                    hidden, states = gather(hidden, numbers), {k: gather(x, numbers) for k, x in states.items()}
                mask = None if fewest == most else mask_of(tower.config, hidden, notes.flow.left)
            scores = _told(scores, notes.flow)
            features = torch.cat([states[number] for number in self.feature_layers], -1)
            seen = seen._replace(flow=flowcut.in_words_of_seen(scores, notes.flow.numbers))
            return Looked(self.method, seen, _finish(features, notes.flow.numbers, scores.shape[1]))

        return wrapping.as_called([tower, tower.encoder], run, pixel_values)


def _told(scores: Float[Tensor, "batch tokens"], flow: Flow) -> Float[Tensor, "batch tokens"]:
    """The scores of all tokens of a tile, with those of the tokens that are there as they are now."""
    return scores.to(flow.scores.dtype).scatter(1, flow.numbers, flow.scores)


def _left(left: Bool[Tensor, "batch tokens"]) -> tuple[int, int]:
    """The fewest and the most tokens that a row has left; where that cannot be known, none and all."""
    if torch.compiler.is_compiling():
        return 0, left.shape[1]
    counts = left.sum(1).tolist() or [left.shape[1]]
    return min(counts), max(counts)


def mask_of(config: Any, hidden: Hidden, left: Bool[Tensor, "batch tokens"]) -> Any:
    """Of the key tokens, CLS and those that are left, as the tower's attention implementation takes it."""
    there = torch.cat([torch.ones_like(left[:, :1]), left], 1)
    mask = create_bidirectional_mask(config, hidden, there)
    if mask is None:
        raise ValueError(
            f"attention implementation {config._attn_implementation!r} takes no mask, which a progressive method needs "
            "for several pictures at once: give it one at a time, or take 'sdpa'"
        )
    return mask


def _finish(features: Any, kept: Any, tokens: int) -> Any:
    """Features at any indices, in their order; -1 is CLS. A token that was dropped has none: it is NaN."""
    numbers = torch.cat([torch.zeros_like(kept[:, :1]), kept + 1], 1)
    nothing = features.new_full((features.shape[0], 1 + tokens, features.shape[2]), torch.nan)
    whole = nothing.scatter(1, numbers[:, :, None].expand_as(features), features)
    return lambda indices: gather(whole, indices + 1)
