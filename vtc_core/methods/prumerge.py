"""LLaVA-PruMerge and PruMerge+: kept tokens absorb those with similar keys; one more row sums what is dropped."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Float, Int

from vtc_core import arguments

from .method import Choice, Method, Seen, following
from .parts import arange, best, cosine, mask, one_hot, prefix, ranks, rest, wide


@dataclass(frozen=True)
class PruMerge(Method):
    """The tokens to which CLS attends most, each with its neighbours mixed in, and a sum of the dropped (2403.15388).

        a_j   softmax(q_cls . k_j / sqrt(dim)), all heads as one, in the layer after the features
        kept  the keep - 1 highest a, in raster order
        y_i   x_i + sum of a_j x_j over the `neighbours` tokens j != i with the highest cosine of keys, kept ones too
        last  the sum of a_j x_j over all tokens that are not kept (index -1)

    `keep` 1 is the last row alone. With too few tokens all others are neighbours.

    Deviations: `keep` rows, where the code's number is that of outliers among a (see `outlier_share`); raster order
    (there the highest a first); fewer than `neighbours` + 1 tokens are allowed (there an error).
    """

    name: ClassVar[str] = "prumerge"
    looks_at: ClassVar[str] = "attention of CLS, heads as one; keys"
    source: ClassVar[str] = "arXiv 2403.15388"
    needs: ClassVar[tuple[str, ...]] = ("joint_attention", "keys")
    merges: ClassVar[bool] = True

    neighbours: int = 32

    def __post_init__(self) -> None:
        arguments.count("neighbours", self.neighbours)

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return following(depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.keys)
        scores = wide(seen.joint_attention[:, :, -1])
        indices = xp.sort(self.kept(v, scores, keep - 1), axis=1)
        nowhere = xp.zeros_like(seen.tile[:, :1]) - 1
        indices = xp.concat([indices, xp.astype(nowhere, indices.dtype)], axis=1)
        return Choice(indices, scores, absorbing(v, scores, seen.keys, indices[:, :-1], self.neighbours))

    def kept(self, v: ModuleType, scores: Float[Any, "batch tokens"], count: Any) -> Int[Any, "batch count"]:
        return best(v, scores, count)


@dataclass(frozen=True)
class PruMergePlus(PruMerge):
    """PruMerge, where three of four kept tokens are an even grid (same source).

    The code adds to n outliers every (tokens / 3n)th token: about 3n. Here, of keep - 1 tokens, a quarter (rounded up)
    are the highest a, and the others lie evenly among the tokens left.

    Deviations: those of PruMerge; the grid is one of the tokens left, so that it has an exact number (there of all
    tokens but the last, those already kept left out).
    """

    name: ClassVar[str] = "prumerge-plus"
    looks_at: ClassVar[str] = "as prumerge, and an even grid"

    def kept(self, v: ModuleType, scores: Float[Any, "batch tokens"], count: Any) -> Int[Any, "batch count"]:
        xp = array_namespace(scores)
        top = best(v, scores, (count + 3) // 4)
        others = rest(v, top, scores.shape[1])
        even = count * 3 // 4
        grid = arange(max(even, 1), others) * others.shape[1] // max(even, 1)
        return xp.concat([top, prefix(xp.take(others, grid, axis=1), even)], axis=1)


def absorbing(
    v: ModuleType,
    attention: Float[Any, "batch tokens"],
    keys: Float[Any, "batch tokens heads head_dim"],
    indices: Int[Any, "batch kept"],
    neighbours: int,
) -> Float[Any, "batch kept+1 tokens"]:
    """The weights of every kept token's row, and of the last."""
    xp = array_namespace(keys)
    batch, tokens = attention.shape
    keys = xp.reshape(keys, (batch, tokens, keys.shape[2] * keys.shape[3]))
    kept = one_hot(indices, tokens)
    alike = xp.where(kept, -xp.inf, cosine(v.gather(keys, indices), keys))
    near = xp.logical_not(kept) & (ranks(alike) < min(neighbours, tokens - 1))
    dropped = xp.logical_not(mask(indices, tokens))[:, None, :]
    itself = xp.astype(kept, attention.dtype)
    mixed = xp.where(xp.concat([near, dropped], axis=1), attention[:, None, :], 0.0)
    return mixed + xp.concat([itself, xp.zeros_like(attention)[:, None, :]], axis=1)


def outlier_share(attention: Float[Any, "batch tokens"]) -> Float[Any, " batch"]:
    """Of each picture: the share of tokens with more attention than Q3 + 1.5 (Q3 - Q1), as the code adapts its budget.

    A budget of floor(share * tokens) + 1 is what the authors keep of a picture.
    """
    xp = array_namespace(attention)
    ascending = xp.sort(wide(attention), axis=1)
    last = attention.shape[1] - 1

    def quartile(quarters: int) -> Any:
        """With linear interpolation between tokens."""
        below, part = quarters * last // 4, quarters * last % 4 / 4
        lower, upper = ascending[:, below], ascending[:, min(below + 1, last)]
        return lower + (upper - lower) * part

    first, third = quartile(1), quartile(3)
    outliers = ascending > (third + 1.5 * (third - first))[:, None]
    return xp.mean(xp.astype(outliers, ascending.dtype), axis=1)
