"""What every method has to beat: chance, a grid, the length of features, the attention that a patch receives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar, SupportsIndex

import numpy as np
from array_api_compat import array_namespace, device

from vtc_core import arguments, checks
from vtc_core.spec import resolve_layers

from .method import Choice, Method, Seen, batch_and_tokens
from .parts import plain_layers, wide


@dataclass(frozen=True)
class Received(Method):
    """The tokens that receive most attention from all tokens; for towers without CLS, too. No paper's method.

    s_j = reduce_l mean_h mean_i softmax(q_i . k / sqrt(d))[l, h, i, j]
    """

    name: ClassVar[str] = "received"
    looks_at: ClassVar[str] = "attention from all tokens"
    source: ClassVar[str] = "baseline"
    needs: ClassVar[tuple[str, ...]] = ("received_attention",)

    layers: SupportsIndex | Sequence[SupportsIndex] = 3
    reduce: str = "sum"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", plain_layers(self.layers))
        checks.reduction(self.reduce)

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return resolve_layers(self.layers, depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.received_attention)
        scores = v.score(xp.permute_dims(seen.received_attention, (2, 0, 1))[:, :, None, :], self.reduce)
        return Choice(v.select(scores, keep), scores)


@dataclass(frozen=True)
class FeatureNorm(Method):
    """The tokens with the longest feature vectors. No paper's method."""

    name: ClassVar[str] = "norm"
    looks_at: ClassVar[str] = "length of the feature"
    source: ClassVar[str] = "baseline"
    needs: ClassVar[tuple[str, ...]] = ("features",)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.features)
        features = wide(seen.features)
        scores = xp.sqrt(xp.sum(features * features, axis=-1))
        return Choice(v.select(scores, keep), scores)


@dataclass(frozen=True)
class Random(Method):
    """Tokens by lot: the same lots for every picture (S7, S9), a function of `seed` and the number of tokens alone.

    Budgets are nested. Strong where many tokens are kept (UniPruneBench, arXiv 2511.02650).
    """

    name: ClassVar[str] = "random"
    looks_at: ClassVar[str] = "nothing: lots"
    source: ClassVar[str] = "baseline"
    needs: ClassVar[tuple[str, ...]] = ()

    seed: int = 0

    def __post_init__(self) -> None:
        arguments.whole("seed", self.seed)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        lots = np.random.default_rng(self.seed).permutation(seen.tile.shape[1])
        return _the_same_for_all(v, seen, lots, keep)


@dataclass(frozen=True)
class UniformGrid(Method):
    """The middles of the most nearly square rows x columns = keep blocks of the tokens' grid.

    Where the competing tokens are no full square (un-padded tiles, a budget over several tiles): every
    (tokens / keep)th token in raster order.
    """

    name: ClassVar[str] = "grid"
    looks_at: ClassVar[str] = "nothing: an even grid"
    source: ClassVar[str] = "baseline"
    needs: ClassVar[tuple[str, ...]] = ()

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        tokens = seen.tile.shape[1]
        side = math.isqrt(tokens)
        rows = max(r for r in range(1, math.isqrt(keep) + 1) if keep % r == 0)
        if side * side == tokens and keep // rows <= side:
            down, right = (((np.arange(n) + 0.5) * side / n).astype(int) for n in (rows, keep // rows))
            middles = (down[:, None] * side + right).ravel()
        else:
            middles = ((np.arange(keep) + 0.5) * tokens / keep).astype(int)
        lots = np.ones(tokens)
        lots[middles] = 0.0
        return _the_same_for_all(v, seen, lots, keep)


def _the_same_for_all(v: ModuleType, seen: Seen, lots: np.ndarray, keep: int) -> Choice:
    """The tokens with the lowest lots, of every row."""
    xp = array_namespace(seen.tile)
    batch, _ = batch_and_tokens(seen)
    scores = xp.asarray(-lots.astype(np.float32), device=device(seen.tile))
    scores = xp.broadcast_to(scores[None, :], (batch, lots.size))
    return Choice(v.select(scores, keep), scores)
