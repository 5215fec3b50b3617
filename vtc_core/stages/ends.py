"""What several stages answer with: rows with empty ends, mixtures at the end, or everything as it was."""

from types import ModuleType
from typing import Any

from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from vtc_core.methods import Choice
from vtc_core.methods.parts import arange, at, one_hot

from .stage import EMPTY, NO_PLACE


def filled(v: ModuleType, indices: Int[Any, "batch keep"], left: Bool[Any, "batch tokens"]) -> Int[Any, "batch keep"]:
    """Those of the indices that are `left`, ascending, and `EMPTY` for the others: no shape depends on numbers."""
    xp, tokens = array_namespace(indices), left.shape[1]
    held = xp.sort(xp.where(at(v, left, indices), indices, tokens), axis=1)
    return xp.where(held < tokens, held, EMPTY)


def mixing(
    scores: Float[Any, "batch tokens"], kept: Int[Any, "batch kept"], mixed: Float[Any, "batch mixtures tokens"]
) -> Choice:
    """Tokens as they are, then mixtures without a place."""
    xp = array_namespace(scores)
    plain = xp.astype(one_hot(kept, scores.shape[1]), mixed.dtype)
    nowhere = xp.zeros((scores.shape[0], mixed.shape[1]), dtype=kept.dtype, device=kept.device) + NO_PLACE
    return Choice(xp.concat([kept, nowhere], axis=1), scores, xp.concat([plain, mixed], axis=1))


def unchanged(scores: Float[Any, "batch tokens"]) -> Choice:
    """Of a stage that merges: all tokens, in weights that copy."""
    xp = array_namespace(scores)
    every = xp.broadcast_to(arange(scores.shape[1], scores)[None, :], scores.shape)
    return Choice(every, scores, xp.astype(one_hot(every, scores.shape[1]), scores.dtype))
