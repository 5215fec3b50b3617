"""Rows of the language model's attention, in float32 at least; kv heads serve as many query heads as there are."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from vtc_core.methods import parts
from vtc_core.methods.parts import arange, at, best, mask, wide

from .stage import Running


def logits(
    query: Float[Any, "batch heads queries head_dim"], keys: Float[Any, "batch kv_heads length head_dim"], scale: float
) -> Float[Any, "batch heads queries length"]:
    """scale * query . key."""
    xp, (batch, heads, queries, size) = array_namespace(query), query.shape
    kv_heads, length = keys.shape[1:3]
    grouped = xp.reshape(wide(query), (batch, kv_heads, heads // kv_heads * queries, size))
    products = scale * xp.matmul(grouped, xp.matrix_transpose(wide(keys)))
    return xp.reshape(products, (batch, heads, queries, length))


def softmax(logits: Float[Any, "*shape length"], among: Bool[Any, "#*shape length"]) -> Float[Any, "*shape length"]:
    """Over the last axis, `among` those that may be attended to: others get 0, and a row without any is all 0."""
    xp = array_namespace(logits)
    return xp.where(among, parts.softmax(xp.where(among, logits, -xp.finfo(logits.dtype).max)), 0.0)


def per_head(
    query: Float[Any, "batch heads queries head_dim"], keys: Float[Any, "batch kv_heads length head_dim"], scale: float
) -> Iterator[Float[Any, "batch some queries length"]]:
    """Logits of one kv head after the other: memory for whole maps does not grow with heads."""
    heads, kv_heads = query.shape[1], keys.shape[1]
    for nth in range(kv_heads):
        some = slice(nth * heads // kv_heads, (nth + 1) * heads // kv_heads)
        yield logits(query[:, some], keys[:, nth : nth + 1], scale)


def mean_map(
    query: Float[Any, "batch heads queries head_dim"],
    keys: Float[Any, "batch kv_heads length head_dim"],
    scale: float,
    positions: Int[Any, "batch queries"],
) -> Float[Any, "batch queries length"]:
    """Causal attention of the tokens at these positions, its mean over heads."""
    xp, among = array_namespace(query), causal(positions, keys.shape[2])[:, None]
    return sum(xp.sum(softmax(some, among), axis=1) for some in per_head(query, keys, scale)) / query.shape[1]


def causal(positions: Int[Any, "batch queries"], length: int) -> Bool[Any, "batch queries length"]:
    """What the tokens at these positions may attend to."""
    return arange(length, positions)[None, None, :] <= positions[:, :, None]


def text(v: ModuleType, visual: Int[Any, "batch tokens"], length: int) -> Int[Any, "batch others"]:
    """Where the tokens are that are not visual, ascending: those of the rows "text"."""
    xp = array_namespace(visual)
    return best(v, xp.where(mask(visual, length), 0.0, 1.0), length - visual.shape[1])


def of_last(v: ModuleType, seen: Running, scale: float) -> Float[Any, "batch tokens"]:
    """What the last token attends to: mean over heads, of a softmax over all tokens, the visual ones of them."""
    row = parts.softmax(logits(seen.query, seen.keys, scale)[:, :, 0])
    return at(v, array_namespace(row).mean(row, axis=1), seen.visual)
