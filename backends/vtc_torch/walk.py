"""The way through a vision tower: what a method asked to see is noted, and what it chose is finished.

Nothing here holds a tower: a walk is settings, and takes the tower that there is at the time of the call.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vtc_core import shuffled
from vtc_core.methods import Choice, Method, Seen, combine
from vtc_core.methods.method import WHOLE
from vtc_core.methods.parts import places_of

from . import towers, verbs, wrapping
from .blocks import KEYS, QUERY, VALUES, Hidden, attention_of, call, finished, layers_of, normed, project
from .notes import Notes
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
    """For which method, which layers are noted, which hidden states are the features, and what a token is."""

    method: Method
    layers: tuple[int, ...]
    feature_layers: tuple[int, ...]  # numbers of hidden states; layer i makes hidden state i + 1
    shuffle: int = 1  # a token is a square of so many patches on a side, see `vtc_core.shuffled`

    @property
    def last(self) -> int:
        """The last useful layer."""
        return max(self.feature_layers) - 1

    @property
    def whole(self) -> bool:
        """Whether the last useful layer is run for all tokens: to see features, to mix them, or to go beyond."""
        return self.method.merges or self.last + 1 in self.layers or any(name in WHOLE for name in self.method.needs)

    def __call__(
        self, tower: Any, pixel_values: Float[Tensor, "batch channels height width"], projector: Project | None = None
    ) -> Looked:
        """Walk `tower` up to the last useful layer; `projector` makes `Seen.projected` of the features, if needed.

        Layers that are run whole are called as the modules they are, so that hooks, checkpointing, sharding and
        offloading work in them as in the stock model. Where the last useful layer is sharded (FSDP2) or offloaded
        (accelerate), it is run whole too.
        """
        notes, layers = Notes(self.method, int(towers.has_cls(tower))), layers_of(tower)
        whole = self.whole or wrapping.in_one_piece(tower, layers[self.last])

        def run(pixel_values: Tensor) -> tuple[Hidden, dict[int, Hidden]]:
            """What comes out of the last layer that is run whole; and hidden states that are features."""
            hidden = towers.embed(tower, pixel_values)  # batch first+tokens dim
            states = {0: hidden} if 0 in self.feature_layers else {}
            for number, layer in enumerate(layers[: self.last + whole]):
                hidden = notes.of_call(layer, hidden) if number in self.layers else call(layer, hidden)
                if number + 1 in self.feature_layers:
                    states[number + 1] = towers.ended(tower, hidden) if number + 1 == len(layers) else hidden
            if self.last + 1 in self.layers:
                after = layers[self.last + 1]
                wrapping.as_called([after], lambda hidden: notes.of_input(after, hidden), hidden)
            return hidden, states

        hidden, states = wrapping.as_called([tower, tower.encoder], run, pixel_values)
        if not whole:
            finish = self._last(tower, hidden, states, notes)
            return self._looked(self._seen(notes, hidden), finish)
        features = torch.cat([states[number] for number in self.feature_layers], -1)
        seen = self._seen(notes, hidden, features if self.whole else None, projector)
        return self._looked(seen, lambda indices: gather(features, indices + notes.first))

    def _looked(self, seen: Seen, finish: Callable[[Integer[Tensor, "batch kept"]], Kept]) -> Looked:
        if self.shuffle > 1:
            finish = shuffled.finish_of(finish, seen.tile.shape[1], self.shuffle)
        return Looked(self.method, seen, finish)

    def _last(
        self, tower: Any, hidden: Hidden, states: dict[int, Hidden], notes: Notes
    ) -> Callable[[Integer[Tensor, "batch kept"]], Kept]:
        """The last useful layer in parts: signals are complete as soon as it has its keys, then kept tokens go on."""
        layers = layers_of(tower)
        layer = layers[self.last]
        attention, given = attention_of(layer), normed(layer, hidden)
        keys, values = (project(attention, part, given) for part in (KEYS, VALUES))
        if self.last in self.layers:
            notes.take(attention, project(attention, QUERY, given if notes.all_queries else given[:, :1]), keys)

        def finish(indices: Integer[Tensor, "batch kept"]) -> Kept:
            numbers = indices + notes.first
            kept, query = gather(hidden, numbers), project(attention, QUERY, gather(given, numbers))
            kept = finished(layer, kept, query, keys, values)
            kept = towers.ended(tower, kept) if self.last + 1 == len(layers) else kept
            made = {number: gather(state, numbers) for number, state in states.items()} | {self.last + 1: kept}
            return torch.cat([made[number] for number in self.feature_layers], -1)

        return finish

    def _seen(
        self,
        notes: Notes,
        hidden: Hidden,
        features: Float[Tensor, "batch length features"] | None = None,
        projector: Project | None = None,
    ) -> Seen:
        signals = {name: torch.stack(noted).permute(1, 2, 0) for name, noted in notes.signals.items()}
        seen = competing(hidden, notes.first)._replace(keys=notes.keys, **signals)
        if features is not None:
            patches = features[:, notes.first :]
            cls = features[:, :1].expand_as(patches) if "cls_feature" in self.method.needs else None
            seen = seen._replace(features=patches, cls_feature=cls)
        seen = shuffled.seen_of(seen, self.shuffle) if self.shuffle > 1 else seen
        if seen.features is None or projector is None or "projected" not in self.method.needs:
            return seen
        return seen._replace(projected=projector(seen.features))


def competing(hidden: Hidden, first: int) -> Seen:
    """Of the tokens of one tile what is known without a look."""
    batch, tokens = hidden.shape[0], hidden.shape[1] - first
    numbers = torch.arange(tokens, device=hidden.device)
    return Seen(places_of(numbers, tokens).expand(batch, -1, -1), torch.zeros_like(numbers).expand(batch, -1))
