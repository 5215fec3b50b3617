"""PACT, as it can be before the language model: a cover of dense places."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from vtc_core import arguments
from vtc_core.spec import resolve_layers

from .greedy import rule
from .method import Choice, Method, Seen
from .parts import arange, cosine, first, mask, one_hot, ranked, wide


@dataclass(frozen=True)
class Pact(Method):
    """Centres of dense places among the important tokens, each the mean of what is near it (PACT, CVPR 2025, 3.1-3.3).

        s_j      received attention of j * |x_j|;  survivors: the share * tokens highest, `keep` at least
        D_ij     1 - cos of keys;  rho_i = sum_j exp(-(D_ij / 2)^2) over survivors
        centres  survivors by falling rho, unless an earlier centre is within `cutoff` (DBDPC)
        out      means of the tokens whose nearest centre is within 1.5 * cutoff, in the centres' places

    Deviations: published for layer 4 of the language model (its queries, its keys, its hidden states, its text); here
    with the encoder's. The budget is met: of more centres the first `keep`, of fewer the densest other survivors as
    well. No log size is added to attention.
    """

    name: ClassVar[str] = "pact"
    looks_at: ClassVar[str] = "dense places among keys"
    source: ClassVar[str] = "arXiv 2504.08966"
    needs: ClassVar[tuple[str, ...]] = ("received_attention", "keys", "features")
    merges: ClassVar[bool] = True

    share: int | float = 0.55
    cutoff: int | float = 0.21

    def __post_init__(self) -> None:
        arguments.number("share", self.share, 0.0, 1.0)
        arguments.number("cutoff", self.cutoff, 0.0, 2.0)

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return resolve_layers(1, depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp, (batch, tokens) = array_namespace(seen.features), seen.features.shape[:2]
        features = wide(seen.features)
        scores = wide(seen.received_attention[:, :, -1]) * xp.sqrt(xp.sum(features * features, axis=2))
        survive = mask(v.select(scores, max(keep, int(self.share * tokens))), tokens)
        keys = xp.reshape(seen.keys, (batch, tokens, -1)) if batch else seen.keys[:, :, 0]
        distance = apart(keys)
        rho = density(distance, survive)
        centre = dense_cover(v, distance, rho, survive, self.cutoff)
        group = xp.where(centre, 2, 0) + xp.where(survive, 1, 0)
        indices, _ = first(v, group, rho, keep)
        return Choice(indices, scores, means_of_near(v, distance, indices, 1.5 * self.cutoff))


def means_of_near(
    v: ModuleType, distance: Float[Any, "batch tokens tokens"], indices: Int[Any, "batch keep"], reach: float
) -> Float[Any, "batch keep tokens"]:
    """Weights: each index and the tokens to which it is the nearest, within `reach`; zeros for a negative index."""
    xp, tokens, there = array_namespace(distance), distance.shape[1], indices >= 0
    near = xp.where(there[:, :, None], v.gather(distance, xp.where(there, indices, 0)), xp.inf)
    near = xp.where(one_hot(indices, tokens), -1.0, near)
    mine = xp.argmin(near, axis=1)[:, None, :] == arange(indices.shape[1], indices)[None, :, None]
    mine = xp.astype(mine & (near <= reach), distance.dtype)
    size = xp.sum(mine, axis=2, keepdims=True)
    return mine / xp.where(size > 0, size, 1.0)


def apart(keys: Float[Any, "batch tokens size"]) -> Float[Any, "batch tokens tokens"]:
    """1 - cosine, not below 0."""
    distance = 1 - cosine(keys, keys)
    return array_namespace(keys).where(distance < 0, 0.0, distance)


def density(
    distance: Float[Any, "batch tokens tokens"], among: Bool[Any, "batch tokens"]
) -> Float[Any, "batch tokens"]:
    """rho of the formula, over those `among` which the clusters are."""
    xp = array_namespace(distance)
    return xp.sum(xp.where(among[:, None, :], xp.exp(-((distance / 2) ** 2)), 0.0), axis=2)


def dense_cover(
    v: ModuleType,
    distance: Float[Any, "batch tokens tokens"],
    rho: Float[Any, "batch tokens"],
    among: Bool[Any, "batch tokens"],
    cutoff: float,
) -> Bool[Any, "batch tokens"]:
    """Which tokens are centres: by falling density, unless one before is within `cutoff`."""
    order = ranked(array_namespace(rho).where(among, rho, -1.0))
    return cover_in_order(v, distance, order, among, float(cutoff))


@rule
def cover_in_order(
    v: ModuleType,
    distance: Float[Any, "batch tokens tokens"],
    order: Int[Any, "batch tokens"],
    among: Bool[Any, "batch tokens"],
    cutoff: float,
) -> Bool[Any, "batch tokens"]:
    """Of the tokens `among` which centres are, in this order, those that have no earlier one within `cutoff`."""
    xp, number = array_namespace(distance), arange(distance.shape[1], distance)[None, :]

    def step(i: Any, centre: Any) -> tuple[Any]:
        token = xp.sum(xp.where(number == i, order, 0), axis=1, keepdims=True)
        near = v.gather(distance, token)[:, 0] <= cutoff
        free = xp.logical_not(xp.any(near & centre, axis=1, keepdims=True))
        return (centre | ((number == token) & free & among),)

    return v.scan(step, (order != order,), distance.shape[1])[0]
