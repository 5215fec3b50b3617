"""ToMe and AIM: even tokens merge into the odd ones that are most similar to them, round after round."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Float, Int

from vtc_core.spec import resolve_layers

from .method import Choice, Method, Seen
from .parts import arange, at, cosine, one_hot, ranked, ranks, wide


@dataclass(frozen=True)
class ToMe(Method):
    """Bipartite soft matching (ToMe, ICLR 2023, section 3), once, on the features that are fed.

        s_ij   cos of even token i and odd token j: of keys (mean over heads) in the first round, of merged tokens later
        round  the r evens with the highest max_j s_ij go to argmax_j s_ij; r = half of the tokens at most
        out    means of all tokens in a row: evens that stay by descending s, then odds

    Deviations: after the last useful layer instead of inside every layer, so that there are keys for one round and
    attention is never proportional to sizes; as many rounds as `keep` needs. Ties: the lower index (the code sorts
    unstably).
    """

    name: ClassVar[str] = "tome"
    looks_at: ClassVar[str] = "similar pairs of keys"
    source: ClassVar[str] = "arXiv 2210.09461"
    needs: ClassVar[tuple[str, ...]] = ("keys", "features")
    merges: ClassVar[bool] = True

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return resolve_layers(1, depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.keys)
        return merged(v, xp.mean(wide(seen.keys), axis=2), seen.features, rounds(seen.tile.shape[1], keep), True)


@dataclass(frozen=True)
class Aim(Method):
    """ToMe's matching on projected tokens, by plain means in every round (AIM, ICCV 2025, section 3.1).

    A mean of means: sizes are not carried from round to round. Published for frames of videos, to a half and a quarter.

    Deviations: as many rounds as `keep` needs. AIM's second stage is inside the language model and not here.
    """

    name: ClassVar[str] = "aim"
    looks_at: ClassVar[str] = "similar projected pairs"
    source: ClassVar[str] = "arXiv 2412.03248"
    needs: ClassVar[tuple[str, ...]] = ("projected",)
    merges: ClassVar[bool] = True
    merges_projected: ClassVar[bool] = True

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        return merged(v, seen.projected, seen.projected, rounds(seen.tile.shape[1], keep), False)


def rounds(tokens: int, keep: int) -> list[int]:
    """How many tokens to merge away in each round: half of them, as long as that is not too many."""
    made = []
    while tokens > keep:
        made.append(min(tokens // 2, tokens - keep))
        tokens -= made[-1]
    return made


def merged(
    v: ModuleType,
    metric: Float[Any, "batch tokens size"],
    x: Float[Any, "batch tokens dim"],
    rounds: list[int],
    by_size: bool,
    protected: int = 0,
) -> Choice:
    """All rounds as one choice; later rounds match what earlier ones made of `x`."""
    xp, x = array_namespace(x), wide(x)
    number = xp.broadcast_to(arange(x.shape[1], x)[None, :], x.shape[:2])
    anchors, size, weights, scores = number, xp.ones_like(x[:, :, 0]), None, xp.zeros_like(x[:, :, 0])
    for nth, r in enumerate(rounds):
        slot, stays, similar = match(v, metric, r, protected)
        into = xp.permute_dims(xp.astype(one_hot(slot, stays.shape[1]), x.dtype), (0, 2, 1))  # batch rows tokens
        shares = into * size[:, None, :] if by_size else into
        shares = shares / xp.sum(shares, axis=2, keepdims=True)
        weights = shares if weights is None else xp.matmul(shares, weights)
        size = xp.matmul(into, size[:, :, None])[:, :, 0]
        anchors = at(v, anchors, stays)
        metric = x = xp.matmul(shares, x)
        scores = -similar if nth == 0 else scores
    return Choice(
        anchors, scores, xp.astype(one_hot(anchors, number.shape[1]), x.dtype) if weights is None else weights
    )


def match(
    v: ModuleType, metric: Float[Any, "batch tokens size"], r: int, protected: int = 0
) -> tuple[Int[Any, "batch tokens"], Int[Any, "batch rows"], Float[Any, "batch tokens"]]:
    """One round: of every token its output row; of every row the token that stays; how similar each one's partner is.

    `protected`: the first tokens (1: CLS; 2: and a distillation token) stay as they are, and first.
    """
    xp, tokens = array_namespace(metric), metric.shape[1]
    evens, odds = 2 * arange((tokens + 1) // 2, metric), 2 * arange(tokens // 2, metric) + 1
    similar = cosine(xp.take(metric, evens, axis=1), xp.take(metric, odds, axis=1))
    if protected:
        barred = (evens[:, None] < protected) | (odds[None, :] < protected)
        similar = xp.where(barred[None, :, :], -xp.inf, similar)
    best, partner = xp.max(similar, axis=2), 2 * xp.argmax(similar, axis=2) + 1
    kept = 2 * ranked(best)[:, r:]
    if protected:
        kept = xp.sort(kept, axis=1)
    odd = xp.broadcast_to(odds[None, :], (metric.shape[0], odds.shape[0]))
    stays = xp.concat([kept, odd], axis=1)
    if protected == 2:
        stays = xp.concat([kept[:, :1], odd[:, :1], kept[:, 1:], odd[:, 1:]], axis=1)
    row = arange(stays.shape[1], stays)[None, :, None]
    place = xp.sum(xp.where(one_hot(stays, tokens), row, 0), axis=1)  # of tokens that stay
    of_evens = xp.where(ranks(best) < r, at(v, place, partner), xp.take(place, evens, axis=1))
    both = xp.concat([of_evens, xp.take(place, odds, axis=1)], axis=1)
    alike = xp.concat([best, xp.max(similar, axis=1)], axis=1)
    number = arange(tokens, metric)
    order = number // 2 + number % 2 * evens.shape[0]
    return xp.take(both, order, axis=1), stays, xp.take(alike, order, axis=1)
