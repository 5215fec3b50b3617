"""Tokens that are squares of patches, their features side by side: what InternVL's pixel shuffle feeds its projector.

A square is what competes, and its patches go through the last useful layer together. On arrays of any library.
"""

import math
from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace
from jaxtyping import Float, Int

from .methods import Method, Seen
from .methods.parts import arange

SUMMED = ("cls_attention", "joint_attention", "received_attention", "sink_attention")


def factor_of(ratio: Any) -> int:
    """Patches on the side of a square, of a configuration's `downsample_ratio`; 1 where it has none (None)."""
    factor = round(1 / ratio) if isinstance(ratio, int | float) and 0 < ratio <= 1 else 1
    if ratio is not None and factor * ratio != 1:
        raise ValueError(f"downsample_ratio must be 1 over a whole number, got {ratio!r}")
    return factor


def count(patches: int, factor: int) -> int:
    """Tokens of a tile."""
    side = math.isqrt(patches)
    if side % factor:
        raise ValueError(f"a tile's side of {side} patches must be a multiple of {factor}, that of a shuffled token")
    return patches // factor**2


def refuse_progressive(method: Method, factor: int) -> None:
    """A ValueError where a method would drop patches of squares that are to be kept whole."""
    if method.progressive and factor > 1:
        raise ValueError(
            f"method {method.name!r} drops patches inside the encoder, one by one, and tokens are made of {factor**2} "
            "here, kept together: take another method"
        )


def patches_of(tokens: Int[Any, "*shape"], side: int, factor: int) -> Int[Any, "*shape patches"]:
    """The patches of tokens by number, in the order in which transformers' `pixel_shuffle` puts them side by side.

    `side` is that of a tile, in patches. Of -1, which is CLS, it is CLS as often.
    """
    xp, width = array_namespace(tokens), side // factor
    first = tokens // width * (factor * side) + tokens % width * factor
    within = arange(factor**2, tokens)
    patches = first[..., None] + within // factor * side + within % factor
    return xp.where(tokens[..., None] < 0, -1, patches)


def seen_of(seen: Seen, factor: int) -> Seen:
    """What was seen of patches, of the tokens they make.

    Attention to a token is the sum of that to its patches, a logit the one that has this sum after a softmax; keys are
    the mean, which keeps their scale; features stand side by side.
    """
    xp, side = array_namespace(seen.tile), math.isqrt(seen.tile.shape[1])
    tokens = seen.tile.shape[1] // factor**2
    of = xp.reshape(patches_of(arange(tokens, seen.tile), side, factor), (-1,))

    def each(name: str, join: Callable[[Any], Any]) -> Any:
        field = getattr(seen, name)
        if field is None:
            return None
        patches = xp.take(field, of, axis=1)
        return join(xp.reshape(patches, (field.shape[0], tokens, factor**2, *field.shape[2:])))

    def beside(patches: Float[Any, "batch tokens patches dim"]) -> Float[Any, "batch tokens features"]:
        return xp.reshape(patches, (*patches.shape[:2], factor**2 * patches.shape[3]))

    def logit(patches: Float[Any, "batch tokens patches layers"]) -> Float[Any, "batch tokens layers"]:
        most = xp.max(patches, axis=2, keepdims=True)
        return xp.log(xp.sum(xp.exp(patches - most), axis=2)) + most[:, :, 0]

    return seen._replace(
        places=each("places", lambda x: x[:, :, 0] // factor),
        tile=each("tile", lambda x: x[:, :, 0]),
        cls_logits=each("cls_logits", logit),
        keys=each("keys", lambda x: xp.mean(x, axis=2)),
        features=each("features", beside),
        cls_feature=each("cls_feature", beside),
        **{name: each(name, lambda x: xp.sum(x, axis=2)) for name in SUMMED},
    )


def finish_of(finish: Callable[[Any], Any], tokens: int, factor: int) -> Callable[[Any], Any]:
    """(batch kept) -> (batch kept features) of tokens, from the same of patches: `Looked.finish` of a walk."""

    def finish_tokens(indices: Int[Any, "batch kept"]) -> Float[Any, "batch kept features"]:
        patches = patches_of(indices, factor * math.isqrt(tokens), factor)
        xp, (batch, kept) = array_namespace(indices), indices.shape
        features = finish(xp.reshape(patches, (batch, kept * factor**2)))
        return xp.reshape(features, (batch, kept, factor**2 * features.shape[2]))

    return finish_tokens
