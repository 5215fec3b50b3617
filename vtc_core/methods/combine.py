"""From a choice to the tokens that are fed."""

from types import ModuleType
from typing import Any

from array_api_compat import array_namespace, device
from jaxtyping import Bool, Float

from .method import Choice, Seen
from .parts import arange, one_hot, wide


def combine(
    v: ModuleType,
    features: Float[Any, "batch tokens dim"],
    choice: Choice,
    cls_feature: Float[Any, "batch dim"] | None = None,
) -> Float[Any, "batch keep dim"]:
    """Copies of the kept tokens, and mixtures where `choice.weights` says so, in the dtype of `features`.

    A mixture is accumulated in float32 at least. `cls_feature` is needed where a method feeds CLS (`feeds_cls`).
    """
    xp = array_namespace(features)
    tokens, indices = features, choice.indices
    if cls_feature is not None:
        tokens, indices = xp.concat([cls_feature[:, None, :], features], axis=1), indices + 1
    copies = v.gather(tokens, xp.where(indices < 0, 0, indices))
    if choice.weights is None:
        return copies
    mixtures = xp.astype(xp.matmul(wide(choice.weights), wide(features)), features.dtype)
    return xp.where(copied(choice)[:, :, None], copies, mixtures)


def all_tokens(seen: Seen) -> Choice:
    """What every method's budget of all tokens comes to: nothing is pruned, nothing mixed."""
    xp = array_namespace(seen.tile)
    numbers = xp.broadcast_to(arange(seen.tile.shape[1], seen.tile)[None, :], seen.tile.shape)
    return Choice(numbers, xp.zeros(seen.tile.shape, dtype=xp.float32, device=device(seen.tile)))


def copied(choice: Choice) -> Bool[Any, "batch keep"]:
    """Which of the fed tokens are one token of the tower, CLS included, bit for bit."""
    xp = array_namespace(choice.indices)
    if choice.weights is None:
        return choice.indices == choice.indices
    return xp.all((choice.weights != 0) == one_hot(choice.indices, choice.weights.shape[2]), axis=2) & _is_one(choice)


def _is_one(choice: Choice) -> Bool[Any, "batch keep"]:
    xp = array_namespace(choice.indices)
    return xp.all((choice.weights == 0) | (choice.weights == 1), axis=2)
