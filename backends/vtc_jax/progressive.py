"""The way through a vision tower of a method that drops tokens as it goes: layers work on fewer and fewer of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer
from jaxtyping import Bool, Float, Integer

from vtc_core.methods import Method, flowcut
from vtc_core.methods.flowcut import Flow

from . import verbs
from .attention import Mask, Queries, Tokens
from .layers import Attention
from .tower import Tower
from .verbs import gather
from .walk import Looked, Pixels, Project, competing

BLOCK = 32  # outside jit lengths are multiples of it: JAX compiles every operation anew for each


class FlowNotes:
    """`flow`: what is left of the tokens that came into the latest layer."""

    def __init__(self, flow: Flow, keep: int, layers: int) -> None:
        self.flow, self.keep, self.layers = flow, keep, layers
        self.number = 0

    def take(self, attention: Attention, query: Queries, keys: Tokens, values: Tokens) -> None:
        query, keys, values = (jax.lax.stop_gradient(x).swapaxes(1, 2) for x in (query, keys, values))
        settings = attention.scale, self.keep, self.number, self.layers
        self.flow = flowcut.after_layer(self.flow, query, keys, values, *settings)
        self.number += 1


class ProgressiveWalk(NamedTuple):
    """For which method, which layers are noted, which hidden states are the features, and how many tokens stay.

    Every row drops as many tokens as it does alone. In a batch layers work on as many as the row with most of them has
    left, and a few more (`BLOCK`); dropped tokens fill the places, masked: they are no keys, and cost what others do.

    Under jit, where shapes cannot depend on data, no token leaves before the last cut: all are masked, the result is
    the same, and nothing but the last useful layer is saved. Outside, every cut waits for the device.
    """

    method: Method
    layers: tuple[int, ...]
    feature_layers: tuple[int, ...]
    keep: int

    @property
    def needed(self) -> int:
        """How many layers of the tower, the first ones, this walk comes to."""
        return max(self.feature_layers)

    def __call__(self, tower: Tower, pixel_values: Pixels, project: Project | None = None) -> Looked:
        """Walk `tower` up to the last useful layer, all of its layers whole."""
        hidden = tower.embed(pixel_values)  # batch 1+tokens dim
        seen = competing(hidden)
        notes = FlowNotes(flowcut.every(seen), self.keep, len(self.layers))
        states = {0: hidden} if 0 in self.feature_layers else {}  # hidden states that are features
        scores, mask = notes.flow.scores, None  # scores: of all tokens of the tile
        for number, layer in enumerate(tower.layers[: self.needed]):
            hidden = layer(hidden, notes.take if number in self.layers else None, mask)
            if number + 1 in self.feature_layers:
                states[number + 1] = hidden
            if number not in self.layers or not flowcut.cuts(number, len(self.layers)):
                continue
            final = number == self.layers[-1]
            size = self.keep if final else _size(notes.flow.left)
            if size < notes.flow.left.shape[1]:
                scores = _told(scores, notes.flow)
                notes.flow, places = flowcut.packed(verbs, notes.flow, size)
                numbers = _with_cls(places)
                hidden, states = gather(hidden, numbers), {k: gather(x, numbers) for k, x in states.items()}
            mask = None if final else _mask(notes.flow.left)
        scores = _told(scores, notes.flow)
        features = jnp.concatenate([states[number] for number in self.feature_layers], -1)
        seen = seen._replace(flow=flowcut.in_words_of_seen(scores, notes.flow.numbers))
        batch, _, dim = features.shape
        # A token that was dropped has no features: it is NaN.
        whole = jnp.full((batch, 1 + scores.shape[1], dim), jnp.nan, features.dtype)
        whole = whole.at[jnp.arange(batch)[:, None], _with_cls(notes.flow.numbers)].set(features)
        return Looked(self.method, seen, lambda indices: gather(whole, indices + 1))


def _told(scores: Float[Array, "batch tokens"], flow: Flow) -> Float[Array, "batch tokens"]:
    """The scores of all tokens of a tile, with those of the tokens that are there as they are now."""
    rows = jnp.arange(scores.shape[0])[:, None]
    return scores.astype(flow.scores.dtype).at[rows, flow.numbers].set(flow.scores)


def _size(left: Bool[Array, "batch tokens"]) -> int:
    """As many tokens as the row with most of them has left, rounded up; all under jit, and of no rows."""
    if isinstance(left, Tracer) or not left.shape[0]:
        return left.shape[1]
    return min(left.shape[1], -(-int(left.sum(1).max()) // BLOCK) * BLOCK)


def _mask(left: Bool[Array, "batch tokens"]) -> Mask:
    """Of the keys: CLS, and the tokens that are left."""
    return jnp.pad(left, ((0, 0), (1, 0)), constant_values=True)[:, None, None]


def _with_cls(numbers: Integer[Array, "batch tokens"]) -> Integer[Array, "batch length"]:
    """Patch tokens as tokens of hidden states, CLS before them."""
    return jnp.pad(numbers + 1, ((0, 0), (1, 0)))
