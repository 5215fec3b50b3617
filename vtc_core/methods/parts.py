"""What several methods are made of: small functions of arrays, on the array API standard. Ties: the lower index."""

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


def cosine(a: Float[Any, "batch m dim"], b: Float[Any, "batch n dim"]) -> Float[Any, "batch m n"]:
    """Of every pair, in float32 at least; a vector of length 0 has the cosine 0 with every other."""
    xp = array_namespace(a)
    return xp.matmul(unit(a), xp.matrix_transpose(unit(b)))


def unit(x: Float[Any, "*shape dim"]) -> Float[Any, "*shape dim"]:
    """Vectors at length 1, in float32 at least; those of length 0 stay."""
    xp = array_namespace(x)
    x = wide(x)
    length = xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))
    return x / xp.where(length > 0, length, xp.ones_like(length))


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


def ranked(scores: Float[Any, "batch tokens"]) -> Int[Any, "batch tokens"]:
    """All indices, best first. S3's order but for NaN, which `v.select` alone places."""
    return array_namespace(scores).argsort(-scores, axis=-1, stable=True)


def plain_layers(layers: Any) -> Any:
    """K or layer numbers as Python's own integers, so that a method can be hashed and saved; a TypeError otherwise."""
    if arguments.is_integer(layers):
        return int(layers)
    if isinstance(layers, Sequence) and not isinstance(layers, str) and all(map(arguments.is_integer, layers)):
        return tuple(map(int, layers))
    raise TypeError(f"layers must be an integer or a sequence of layer numbers, got {layers!r}")
