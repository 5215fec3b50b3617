"""What several methods are made of: small functions of arrays, on the array API standard. Ties: the lower index."""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from array_api_compat import array_namespace, device
from jaxtyping import Bool, Float, Int, Shaped

from vtc_core import arguments


def wide(x: Shaped[Any, "..."]) -> Float[Any, "..."]:
    """In float32 at least, which is what everything is accumulated in."""
    xp = array_namespace(x)
    return x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)


def arange(count: Any, like: Shaped[Any, "..."]) -> Int[Any, " count"]:
    """0 to count - 1, where `like` lives."""
    return array_namespace(like).arange(count, device=device(like))


def places_of(indices: Int[Any, "*shape"], tokens: int) -> Int[Any, "*shape 2"]:
    """Row and column of tokens by number, in a square tile of so many, in raster order."""
    side = math.isqrt(tokens)
    return array_namespace(indices).stack([indices // side, indices % side], axis=-1)


def cosine(a: Float[Any, "batch m dim"], b: Float[Any, "batch n dim"]) -> Float[Any, "batch m n"]:
    """Of every pair, in float32 at least; a vector of length 0 has the cosine 0 with every other."""
    xp = array_namespace(a)
    return xp.matmul(unit(a), xp.matrix_transpose(unit(b)))


def symmetric(pairs: Float[Any, "batch tokens tokens"]) -> Float[Any, "batch tokens tokens"]:
    """To the last bit, as products are not in every library: a pair that is a tie by the formula is one."""
    return (pairs + array_namespace(pairs).matrix_transpose(pairs)) / 2


def unit(x: Float[Any, "*shape dim"]) -> Float[Any, "*shape dim"]:
    """Vectors at length 1, in float32 at least; those of length 0 stay."""
    xp = array_namespace(x)
    x = wide(x)
    length = xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))
    return x / xp.where(length > 0, length, xp.ones_like(length))


def softmax(logits: Float[Any, "*shape tokens"]) -> Float[Any, "*shape tokens"]:
    """Over the last axis."""
    xp = array_namespace(logits)
    weights = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def there(vectors: Float[Any, "batch some dim"]) -> Bool[Any, "batch some"]:
    """Which are not zeros, that fill up what is of several lengths; see `Seen`."""
    return array_namespace(vectors).any(vectors != 0, axis=-1)


def mean_there(x: Float[Any, "batch some *shape"], there: Bool[Any, "batch some"]) -> Float[Any, "batch *shape"]:
    """The mean over axis 1 of those that are there; zeros where none is."""
    xp = array_namespace(x)
    counted = xp.astype(there, x.dtype)
    number = xp.sum(counted, axis=1)[:, None]
    return xp.sum(xp.where(there[:, :, None], x, 0.0), axis=1) / xp.where(number > 0, number, 1.0)


def one_hot(indices: Int[Any, "batch keep"], tokens: Any) -> Bool[Any, "batch keep tokens"]:
    """Where each index is; a row without any for -1."""
    return indices[:, :, None] == arange(tokens, indices)[None, None, :]


def mask(indices: Int[Any, "batch keep"], tokens: Any) -> Bool[Any, "batch tokens"]:
    """Whether a token is among the indices."""
    return array_namespace(indices).any(one_hot(indices, tokens), axis=1)


def rest(v: ModuleType, indices: Int[Any, "batch keep"], tokens: Any) -> Int[Any, "batch others"]:
    """All other tokens, in raster order; indices must not repeat."""
    xp = array_namespace(indices)
    others = xp.astype(xp.logical_not(mask(indices, tokens)), xp.float32)
    return v.select(others, tokens - indices.shape[1])


def ranked(scores: Float[Any, "*shape tokens"]) -> Int[Any, "*shape tokens"]:
    """All indices, best first. S3's order but for NaN, which `v.select` alone places."""
    return array_namespace(scores).argsort(-scores, axis=-1, stable=True)


def ranks(scores: Float[Any, "*shape tokens"]) -> Int[Any, "*shape tokens"]:
    """How many are better: 0 for the best."""
    return array_namespace(scores).argsort(ranked(scores), axis=-1, stable=True)


def best(v: ModuleType, scores: Float[Any, "batch tokens"], count: Any) -> Int[Any, "batch count"]:
    """As `v.select`, and none where `count` is 0."""
    return prefix(v.select(scores, max(count, 1)), count)


def prefix(x: Shaped[Any, "batch some *shape"], count: Any) -> Shaped[Any, "batch count *shape"]:
    """The first `count`, none if it is 0. A slice by a symbol would have no size in a graph."""
    return array_namespace(x).take(x, arange(count + 1, x)[:-1], axis=1)  # `arange` wants to know that it is not empty


def first(v: ModuleType, groups: Shaped[Any, "batch tokens"], scores: Any, keep: Any) -> tuple[Any, Any]:
    """`keep` tokens, those of a higher group before all others, by score in a group; and the numbers that say so.

    Numbers of places, not scores and something large, in which small differences would drown.
    """
    xp = array_namespace(scores)
    order = xp.astype(groups, xp.float32) * scores.shape[1] - xp.astype(ranks(scores), xp.float32)
    return v.select(order, keep), order


def at(v: ModuleType, x: Shaped[Any, "batch tokens"], indices: Int[Any, "batch some"]) -> Shaped[Any, "batch some"]:
    """`x` at the indices, at most as many as tokens."""
    return v.gather(x[:, :, None], indices)[:, :, 0]


def plain_layers(layers: Any) -> Any:
    """K or layer numbers as Python's own integers, so that a method can be hashed and saved; a TypeError otherwise."""
    if arguments.is_integer(layers):
        return int(layers)
    if isinstance(layers, Sequence) and not isinstance(layers, str) and all(map(arguments.is_integer, layers)):
        return tuple(map(int, layers))
    raise TypeError(f"layers must be an integer or a sequence of layer numbers, got {layers!r}")
