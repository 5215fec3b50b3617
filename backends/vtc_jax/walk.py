"""The way through a vision tower: what a method asked to see is noted, and what it chose is finished."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Integer

from vtc_core import shuffled
from vtc_core.methods import Choice, Method, Seen, combine
from vtc_core.methods.method import ALL_QUERIES, ATTENTION, WHOLE
from vtc_core.methods.parts import places_of

from . import verbs
from .attention import Queries, Tokens
from .layers import Attention, Layer
from .signals import SIGNALS
from .tower import Tower
from .verbs import gather, mean

Hidden = Float[Array, "batch length dim"]
Kept = Float[Array, "batch kept dim"]
Project = Callable[[Array], Array]
Pixels = Float[Array, "batch channels height width"]


class Looked(NamedTuple):
    """What was seen of every picture, as one competition of all its tokens, and the way to what is chosen of them."""

    method: Method
    seen: Seen
    finish: Callable[[Integer[Array, "batch kept"]], Kept]  # features at any indices, in their order; -1 is CLS

    def choose(self, keep: int, seen: Seen | None = None) -> Choice:
        """The method's own choice, of all that was seen or of `seen`; no gradient flows, products have all bits."""
        with jax.default_matmul_precision("highest"):
            return self.method.choose(verbs, jax.lax.stop_gradient(seen or self.seen), keep)

    def feed(self, choice: Choice, project: Project | None = None) -> Kept:
        """The tokens that a choice feeds, projected if there is a projector."""
        if choice.weights is None:
            fed = self.finish(choice.indices)
        elif self.method.merges_projected:
            return mix(self.seen.projected, choice)
        else:
            cls = self.finish(jnp.full_like(choice.indices[:, :1], -1))[:, 0] if self.method.feeds_cls else None
            fed = mix(self.seen.features, choice, cls)
        return project(fed) if project else fed


def mix(features: Array | None, choice: Choice, cls_feature: Float[Array, "batch dim"] | None = None) -> Kept:
    """`combine`, in full precision also where products have fewer bits by default (TPU, TF32)."""
    with jax.default_matmul_precision("highest"):
        return combine(verbs, features, choice, cls_feature)


class Notes:
    """`signals`, by the name of their field of `Seen`: (batch heads tokens) a layer; `keys` of the latest layer."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.all_queries = any(name in ALL_QUERIES for name in method.needs)
        self.signals: dict[str, list[Array]] = {name: [] for name in method.needs if name in ATTENTION}
        self.keys: Float[Array, "batch tokens heads head_dim"] | None = None

    def take(self, attention: Attention, query: Queries, keys: Tokens, values: Tokens | None = None) -> None:
        """Of one layer; `query` of CLS at least, or of all tokens where a signal needs them. No gradient flows."""
        for name, noted in self.signals.items():
            noted.append(jax.lax.stop_gradient(SIGNALS[name](self.method, query, keys, attention.scale)))
        if "keys" in self.method.needs:
            self.keys = keys[:, 1:]

    def of_keys(self, layer: Layer, normed: Hidden, keys: Tokens) -> None:
        """Of a layer that is not run whole, the queries that are needed and no more."""
        self.take(layer.attending, layer.attending.query(normed if self.all_queries else normed[:, :1]), keys)


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

    @property
    def needed(self) -> int:
        """How many layers of the tower, the first ones, this walk comes to."""
        return max((self.last, *self.layers)) + 1

    def __call__(self, tower: Tower, pixel_values: Pixels, project: Project | None = None) -> Looked:
        """Walk `tower` up to the last useful layer; `project` makes `Seen.projected` of the features, if needed."""
        notes = Notes(self.method)
        hidden = tower.embed(pixel_values)  # batch 1+tokens dim
        states = {0: hidden} if 0 in self.feature_layers else {}  # hidden states that are features
        for number, layer in enumerate(tower.layers[: self.last + self.whole]):
            hidden = layer(hidden, notes.take if number in self.layers else None)
            if number + 1 in self.feature_layers:
                states[number + 1] = self._ended(tower, number + 1, hidden)
        if not self.whole:
            finish = self._last(tower, hidden, states, notes)
            return self._looked(self._seen(notes, hidden), finish)
        if self.last + 1 in self.layers:
            layer = tower.layers[self.last + 1]
            normed = layer.normed(hidden)
            notes.of_keys(layer, normed, layer.attending.keys_values(normed)[0])
        features = self._features(states)
        seen = self._seen(notes, hidden, features, project)
        return self._looked(seen, lambda indices: gather(features, indices + 1))

    def _looked(self, seen: Seen, finish: Callable[[Integer[Array, "batch kept"]], Kept]) -> Looked:
        if self.shuffle > 1:
            finish = shuffled.finish_of(finish, seen.tile.shape[1], self.shuffle)
        return Looked(self.method, seen, finish)

    def _ended(self, tower: Tower, number: int, hidden: Hidden) -> Hidden:
        """Hidden state `number` as it feeds a projector."""
        return tower.ended(hidden) if number == tower.config.num_hidden_layers else hidden

    def _last(
        self, tower: Tower, hidden: Hidden, states: dict[int, Hidden], notes: Notes
    ) -> Callable[[Integer[Array, "batch kept"]], Kept]:
        """The last useful layer in parts: signals are complete as soon as it has its keys, then kept tokens go on."""
        layer = tower.layers[self.last]
        normed = layer.normed(hidden)
        keys, values = layer.attending.keys_values(normed)
        if self.last in self.layers:
            notes.of_keys(layer, normed, keys)

        def finish(indices: Integer[Array, "batch kept"]) -> Kept:
            numbers = indices + 1
            kept, kept_normed = gather(hidden, numbers), gather(normed, numbers)
            kept = layer.finish_layer(kept, layer.attending.query(kept_normed), keys, values)
            kept = self._ended(tower, self.last + 1, kept)
            made = {number: gather(state, numbers) for number, state in states.items()}
            return self._features(made | {self.last + 1: kept})

        return finish

    def _features(self, states: dict[int, Hidden]) -> Float[Array, "batch length features"]:
        return jnp.concatenate([states[number] for number in self.feature_layers], -1)

    def _seen(
        self,
        notes: Notes,
        hidden: Hidden,
        features: Float[Array, "batch length features"] | None = None,
        project: Project | None = None,
    ) -> Seen:
        # The mean over heads of all layers at once: what XLA fuses is then what it fuses in `score`, bit for bit.
        signals = {name: jnp.moveaxis(mean(jnp.stack(noted), 2), 0, -1) for name, noted in notes.signals.items()}
        seen = competing(hidden)._replace(keys=notes.keys, **signals)
        if features is not None:
            patches = features[:, 1:]
            cls = jnp.broadcast_to(features[:, :1], patches.shape) if "cls_feature" in self.method.needs else None
            seen = seen._replace(features=patches, cls_feature=cls)
        seen = shuffled.seen_of(seen, self.shuffle) if self.shuffle > 1 else seen
        if seen.features is None or project is None or "projected" not in self.method.needs:
            return seen
        return seen._replace(projected=project(seen.features))


def competing(hidden: Hidden) -> Seen:
    """Of the tokens of one tile what is known without a look."""
    batch, tokens = hidden.shape[0], hidden.shape[1] - 1
    numbers = jnp.arange(tokens)
    return Seen(
        jnp.broadcast_to(places_of(numbers, tokens), (batch, tokens, 2)), jnp.zeros((batch, tokens), numbers.dtype)
    )
