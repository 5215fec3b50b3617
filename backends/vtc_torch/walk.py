"""The way through a vision tower: what a method asked to see is noted, and what it chose is finished.

Nothing here holds a tower: a walk is settings, and takes the tower that there is at the time of the call.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import eager_attention_forward

from vtc_core.methods import Choice, Method, Seen, combine
from vtc_core.methods.method import WHOLE

from . import towers, verbs, wrapping
from .notes import Heads, Hidden, Notes, call, heads
from .verbs import gather

Kept = Float[Tensor, "batch kept dim"]
Project = Callable[[Tensor], Tensor]


class Looked(NamedTuple):
    """What was seen of every picture, as one competition of all its tokens, and the way to what is chosen of them."""

    method: Method
    seen: Seen
    finish: Callable[[Integer[Tensor, "batch kept"]], Kept]  # features at any indices, in their order; -1 is CLS

    def choose(self, keep: int, seen: Seen | None = None) -> Choice:
        """The method's own choice, of all that was seen or of `seen`: nothing in it is autocast or differentiated."""
        with torch.no_grad(), torch.autocast(self.seen.tile.device.type, enabled=False):
            return self.method.choose(verbs, seen or self.seen, keep)

    def feed(self, choice: Choice, project: Project | None = None) -> Kept:
        """The tokens that a choice feeds, projected if there is a projector."""
        if choice.weights is None:
            fed = self.finish(choice.indices)
        elif self.method.merges_projected:
            return mix(self.seen.projected, choice)
        else:
            cls = self.finish(torch.full_like(choice.indices[:, :1], -1))[:, 0] if self.method.feeds_cls else None
            fed = mix(self.seen.features, choice, cls)
        return project(fed) if project else fed


def mix(features: Any, choice: Choice, cls_feature: Float[Tensor, "batch dim"] | None = None) -> Kept:
    """`combine`, accumulated in float32 at least, autocast or not."""
    with torch.autocast(features.device.type, enabled=False):
        return combine(verbs, features, choice, cls_feature)


class Walk(NamedTuple):
    """For which method, which layers are noted, and which hidden states are the features."""

    method: Method
    layers: tuple[int, ...]
    feature_layers: tuple[int, ...]  # numbers of hidden states; layer i makes hidden state i + 1

    @property
    def last(self) -> int:
        """The last useful layer."""
        return max(self.feature_layers) - 1

    @property
    def whole(self) -> bool:
        """Whether the last useful layer is run for all tokens: to see features, to mix them, or to go beyond."""
        return self.method.merges or self.last + 1 in self.layers or any(name in WHOLE for name in self.method.needs)

    def __call__(
        self, tower: Any, pixel_values: Float[Tensor, "batch channels height width"], project: Project | None = None
    ) -> Looked:
        """Walk `tower` up to the last useful layer; `project` makes `Seen.projected` of the features, if needed.

        Layers that are run whole are called as the modules they are, so that hooks, checkpointing, sharding and
        offloading work in them as in the stock model. Where the last useful layer is sharded (FSDP2) or offloaded
        (accelerate), it is run whole too.
        """
        notes, layers = Notes(self.method, int(towers.has_cls(tower))), tower.encoder.layers
        whole = self.whole or wrapping.in_one_piece(tower, layers[self.last])

        def run(pixel_values: Tensor) -> tuple[Hidden, dict[int, Hidden]]:
            """What comes out of the last layer that is run whole; and hidden states that are features."""
            hidden = towers.embed(tower, pixel_values)  # batch first+tokens dim
            states = {0: hidden} if 0 in self.feature_layers else {}
            for number, layer in enumerate(layers[: self.last + whole]):
                hidden = notes.of_call(layer, hidden) if number in self.layers else call(layer, hidden)
                if number + 1 in self.feature_layers:
                    states[number + 1] = hidden
            if self.last + 1 in self.layers:
                after = layers[self.last + 1]
                wrapping.as_called([after], lambda hidden: notes.of_input(after, hidden), hidden)
            return hidden, states

        hidden, states = wrapping.as_called([tower, tower.encoder], run, pixel_values)
        if not whole:
            finish = self._last(layers[self.last], hidden, states, notes)
            return Looked(self.method, self._seen(notes, hidden), finish)
        features = torch.cat([states[number] for number in self.feature_layers], -1)
        seen = self._seen(notes, hidden, features if self.whole else None, project)
        return Looked(self.method, seen, lambda indices: gather(features, indices + notes.first))

    def _last(
        self, layer: Any, hidden: Hidden, states: dict[int, Hidden], notes: Notes
    ) -> Callable[[Integer[Tensor, "batch kept"]], Kept]:
        """The last useful layer in parts: signals are complete as soon as it has its keys, then kept tokens go on."""
        attention = layer.self_attn
        normed = layer.layer_norm1(hidden)
        keys, values = heads(attention, attention.k_proj(normed)), heads(attention, attention.v_proj(normed))
        if self.last in self.layers:
            querying = normed if notes.all_queries else normed[:, :1]
            notes.take(attention, heads(attention, attention.q_proj(querying)), keys)

        def finish(indices: Integer[Tensor, "batch kept"]) -> Kept:
            numbers = indices + notes.first
            kept, kept_normed = gather(hidden, numbers), gather(normed, numbers)
            kept = kept + _mix(attention, heads(attention, attention.q_proj(kept_normed)), keys, values)
            kept = kept + layer.mlp(layer.layer_norm2(kept))
            made = {number: gather(state, numbers) for number, state in states.items()} | {self.last + 1: kept}
            return torch.cat([made[number] for number in self.feature_layers], -1)

        return finish

    def _seen(
        self,
        notes: Notes,
        hidden: Hidden,
        features: Float[Tensor, "batch length features"] | None = None,
        project: Project | None = None,
    ) -> Seen:
        signals = {name: torch.stack(noted).permute(1, 2, 0) for name, noted in notes.signals.items()}
        seen = competing(hidden, notes.first)._replace(keys=notes.keys, **signals)
        if features is None:
            return seen
        patches = features[:, notes.first :]
        return seen._replace(
            features=patches,
            cls_feature=features[:, :1].expand_as(patches) if "cls_feature" in self.method.needs else None,
            projected=project(patches) if project and "projected" in self.method.needs else None,
        )


def competing(hidden: Hidden, first: int) -> Seen:
    """Of the tokens of one tile what is known without a look."""
    batch, tokens = hidden.shape[0], hidden.shape[1] - first
    side = math.isqrt(tokens)
    numbers = torch.arange(tokens, device=hidden.device)
    places = torch.stack([numbers // side, numbers % side], -1).expand(batch, -1, -1)
    return Seen(places, torch.zeros_like(numbers).expand(batch, -1))


def _mix(
    attention: Any, query: Float[Tensor, "batch heads queries head_dim"], keys: Heads, values: Heads
) -> Float[Tensor, "batch queries dim"]:
    """`forward` of CLIP's and SigLIP's attention after its projections, by the model's own implementation."""
    if not query.shape[0]:  # which implementations refuse; `len` would make it a constant of exports
        return query.transpose(1, 2).flatten(2)
    implementation = ALL_ATTENTION_FUNCTIONS.get_interface(
        attention.config._attn_implementation, eager_attention_forward
    )
    dropout = attention.dropout if attention.training else 0.0
    mixed, _ = implementation(attention, query, keys, values, None, scaling=attention.scale, dropout=dropout)
    return attention.out_proj(mixed.flatten(2))  # mixed: batch queries heads head_dim
