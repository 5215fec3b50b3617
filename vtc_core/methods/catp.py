"""CATP: tokens that stand for the others, and that are like the words."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Float

from vtc_core import arguments

from .greedy import cover
from .method import Choice, Method, Seen
from .parts import cosine, mean_there, symmetric, there, wide


@dataclass(frozen=True)
class Catp(Method):
    """Tokens that stand for all others: facility location on cosines (CATP, AAAI 2026, stage 1, without its text).

        s_ij = (1 + cos(p_i, p_j)) / 2 of projected tokens
        always the token that adds most to sum_i max_{j chosen} s_ij;   raster order

    arXiv 2508.07871; there is no public code. Deviations: without its term for the text, which needs the prompt:
    lambda_1 = 0, see `catp-text`. Similarities are multiples of 2^-22: two tokens that stand for each other alone add
    the same, and of them the lower index wins on every backend.
    """

    name: ClassVar[str] = "catp"
    looks_at: ClassVar[str] = "standing for other tokens"
    source: ClassVar[str] = "arXiv 2508.07871"
    needs: ClassVar[tuple[str, ...]] = ("projected",)
    whole_picture: ClassVar[bool] = True

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.projected)
        similarity = alike(symmetric(cosine(seen.projected, seen.projected)))
        return Choice(xp.sort(cover(v, similarity, keep), axis=1), xp.sum(similarity, axis=1))


@dataclass(frozen=True)
class CatpText(Catp):
    """Tokens that stand for all others and are like the words of the prompt (CATP, AAAI 2026, stage 1).

        s_ij = (1 + cos(p_i, p_j)) / 2 of projected tokens;   b_j the same of p_j and the mean of the words' embeddings
        always the token that adds most to sum_i max_{j chosen} s_ij + weight sum_{j chosen} b_j;   raster order

    `weight` is lambda_1. arXiv 2508.07871; there is no public code. Deviations: the text is all of the prompt, words of
    its template included; s and weight b are multiples of 2^-22, as in `catp`, which this is for a prompt of no words.
    Stage 2 is inside the language model and not here.
    """

    name: ClassVar[str] = "catp-text"
    looks_at: ClassVar[str] = "as catp, and likeness to the prompt"
    needs: ClassVar[tuple[str, ...]] = ("projected", "text")

    weight: int | float = 0.7

    def __post_init__(self) -> None:
        arguments.number("weight", self.weight, 0.0, float("inf"))

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.projected)
        similarity = alike(symmetric(cosine(seen.projected, seen.projected)))
        words = mean_there(wide(seen.text), there(seen.text))[:, None, :]
        bonus = alike(cosine(seen.projected, words), self.weight)[:, :, 0]
        order = cover(v, similarity, keep, bonus)
        return Choice(xp.sort(order, axis=1), xp.sum(similarity, axis=1) + bonus)


def alike(cosines: Float[Any, "*shape"], weight: int | float = 1) -> Float[Any, "*shape"]:
    """weight (1 + cosine) / 2, as exact as float32 is near 1: sums below 4 are exact in any order."""
    return array_namespace(cosines).round((1 + cosines) * (weight * 2**21)) / 2**22
