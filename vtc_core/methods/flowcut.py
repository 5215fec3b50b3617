"""FlowCut: tokens are dropped inside the encoder, a few after every other layer."""

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from vtc_core import checks

from .method import Choice, Method, Seen
from .parts import arange, at, mask, ranks, softmax, wide


class Flow(NamedTuple):
    """The tokens in a layer: those that are left, and, where a row has fewer than others, some that were dropped."""

    left: Bool[Any, "batch tokens"]
    scores: Float[Any, "batch tokens"]  # running average; of a dropped token as it was
    numbers: Int[Any, "batch tokens"]  # in the tile


@dataclass(frozen=True)
class FlowCut(Method):
    """The tokens that survive: a few are dropped after every other layer, by CLS, values and a running average.

        c  = mean_h softmax(q_cls . k / sqrt(d));   w = mean_h softmax(v_cls . v)      of the tokens that are left
        s  = (c / sum c + w / sum w) |mean_h v|_1;  S = s in layer 0, then (S + s) / 2
        p  = c / sum c;  h = -sum p ln p / ln n     of the n that are left
        r  = round((n - keep) / sqrt(layers to go) (1 - h^2))   dropped, the lowest S; in the last such layer, n - keep

    Progressive: layers work on fewer and fewer tokens, so that kept ones differ from those of the unpruned encoder (S8
    does not hold), and a dropped one has no features at all. `scores` are those of the tokens that are kept, S >= 0;
    of dropped ones -1 / (1 + S), as it was when they were dropped.

    Deviations: rows are independent, each drops its own r (the authors drop the largest r of the batch in all rows); 0
    ln 0 is 0, and what sums to 0 stays 0 (the authors' code fails at the NaN); a row of NaN drops nothing before the
    last such layer. In a tower with one useful layer tokens are dropped after that one.
    """

    name: ClassVar[str] = "flowcut"
    looks_at: ClassVar[str] = "attention and values, layer by layer"
    source: ClassVar[str] = "arXiv 2505.19536"
    needs: ClassVar[tuple[str, ...]] = ("flow",)
    progressive: ClassVar[bool] = True

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        """All that come before the one that makes the features, which kept tokens alone are in."""
        return tuple(range(max(1, checks.last_layer(depth, feature_layer))))

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        return Choice(v.select(seen.flow, keep), seen.flow)


def every(seen: Seen) -> Flow:
    """All tokens, before the first layer."""
    xp = array_namespace(seen.tile)
    nothing = xp.zeros_like(seen.tile)
    numbers = xp.broadcast_to(arange(nothing.shape[1], nothing)[None, :], nothing.shape)
    return Flow(nothing == 0, xp.astype(nothing, xp.float32), numbers)


def after_layer(flow: Flow, query: Any, keys: Any, values: Any, scale: float, keep: int, number: int, of: int) -> Flow:
    """What is left after layer `number` of `of`, by its queries (of CLS at least), keys and values, CLS first."""
    xp = array_namespace(keys)
    share, scores = judged(query[:, :, 0, :], keys, values, scale, flow.left)
    count = xp.sum(xp.astype(flow.left, scores.dtype), axis=1)
    mean = 0.5 * flow.scores + 0.5 * scores if number else scores
    flow = flow._replace(scores=xp.where(flow.left & (count > keep)[:, None], mean, flow.scores))
    if not cuts(number, of):
        return flow
    return cut(flow, count - dropping(share, count, keep, of - 1 - number))


def cuts(number: int, of: int) -> bool:
    """Whether tokens are dropped after layer `number`: after every other one, and after the last."""
    return (of - 1 - number) % 2 == 0


def judged(
    query: Float[Any, "batch heads head_dim"],
    keys: Float[Any, "batch heads length head_dim"],
    values: Float[Any, "batch heads length head_dim"],
    scale: float,
    left: Bool[Any, "batch tokens"],
) -> tuple[Float[Any, "batch tokens"], Float[Any, "batch tokens"]]:
    """The shares p of attention, 0 for tokens that are not left, and the scores s."""
    xp = array_namespace(keys)
    values = wide(values)
    share = _share(_row(query, keys, scale, left))
    similar = _share(_row(values[:, :, 0, :], values, 1.0, left))
    length = xp.sum(xp.abs(xp.mean(values[:, :, 1:, :], axis=1)), axis=2)
    return share, (share + similar) * length


def dropping(
    share: Float[Any, "batch tokens"], count: Float[Any, " batch"], keep: int, to_go: int
) -> Float[Any, " batch"]:
    """r of each row, of which `count` tokens are left: the more, the less evenly attention is spread."""
    xp = array_namespace(share)
    if to_go == 0:
        return count - keep
    log = xp.log(xp.where(share > 0, share, xp.ones_like(share)))
    spread = -xp.sum(share * log, axis=1) / xp.log(xp.where(count > 1, count, xp.ones_like(count) + 1))
    r = xp.round((count - keep) / math.sqrt(to_go) * (1 - spread * spread))
    return xp.where(r > 0, r, xp.zeros_like(r))


def cut(flow: Flow, count: Float[Any, " batch"]) -> Flow:
    """The `count` highest scores of each row are left of those that were; NaN is last of them."""
    xp = array_namespace(flow.scores)
    scores = xp.where(flow.scores >= 0, flow.scores, xp.zeros_like(flow.scores) - 1)
    order = ranks(xp.where(flow.left, scores, xp.zeros_like(scores) - xp.inf))
    return flow._replace(left=order < xp.astype(count, order.dtype)[:, None])


def packed(v: ModuleType, flow: Flow, size: Any) -> tuple[Flow, Int[Any, "batch size"]]:
    """`size` tokens of each row, those that are left among them, and where they were; in raster order."""
    places = v.select(array_namespace(flow.left).astype(flow.left, flow.scores.dtype), size)
    return Flow(*(at(v, x, places) for x in flow)), places


def in_words_of_seen(scores: Float[Any, "batch tokens"], kept: Int[Any, "batch keep"]) -> Float[Any, "batch tokens"]:
    """`Seen.flow`: the last scores of all tokens, negative where a token was dropped; finite."""
    xp = array_namespace(scores)
    scores = xp.where(xp.isfinite(scores), scores, xp.zeros_like(scores))
    return xp.where(mask(kept, scores.shape[1]), scores, -1 / (1 + scores))


def _row(query: Any, keys: Any, scale: float, left: Any) -> Float[Any, "batch tokens"]:
    """Clause S1 over CLS and the tokens that are left, the mean over heads."""
    xp = array_namespace(keys)
    logits = scale * xp.sum(wide(query)[:, :, None, :] * wide(keys), axis=-1)  # batch heads 1+tokens
    there = xp.concat([xp.ones_like(left[:, :1]), left], axis=1)[:, None, :]
    logits = xp.where(there, logits, xp.zeros_like(logits) - xp.inf)
    return xp.mean(softmax(logits), axis=1)[:, 1:]


def _share(x: Float[Any, "batch tokens"]) -> Float[Any, "batch tokens"]:
    xp = array_namespace(x)
    total = xp.sum(x, axis=1, keepdims=True)
    return x / xp.where(total > 0, total, xp.ones_like(total))
