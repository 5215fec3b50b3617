"""CDPruner: tokens that differ from each other, by their weight for the question."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Float

from .greedy import dpp
from .method import Choice, Method, Seen
from .parts import cosine, mean_there, symmetric, there


@dataclass(frozen=True)
class CdPruner(Method):
    """A determinantal point process, conditioned on the prompt (CDPruner, NeurIPS 2025).

        r_j  = min-max over the picture of mean_m -cos(e_j, q_m), + 1e-6 before it is divided
        K_ij = r_i cos(p_i, p_j) r_j of projected tokens
        always the token that adds most to log det K_chosen;   raster order

    e is visual_projection(post_layernorm(h)) of features h and q what CLIP's text tower makes of the prompt, a vector
    for each part of it that the tower can take. The cosine is negated on purpose: CLIP's is lower where patches matter.

    Deviations: min-max of each picture (or tile) by itself, there over the whole call; beyond the rank of K no token is
    chosen twice, the lower index first (there NaN and repeats); of equal e all r are 1 (there a division by zero); each
    part of a long prompt has a beginning and an end of its own.
    """

    name: ClassVar[str] = "cdpruner"
    looks_at: ClassVar[str] = "unlike, by CLIP's view of the prompt"
    source: ClassVar[str] = "arXiv 2506.10967"
    needs: ClassVar[tuple[str, ...]] = ("projected", "image_embeds", "text_embeds")

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.projected)
        weights = relevance(seen.image_embeds, seen.text_embeds)
        kernel = weights[:, :, None] * symmetric(cosine(seen.projected, seen.projected)) * weights[:, None, :]
        return Choice(xp.sort(dpp(v, kernel, keep), axis=1), weights)


def relevance(
    image_embeds: Float[Any, "batch tokens embed"], text_embeds: Float[Any, "batch segments embed"]
) -> Float[Any, "batch tokens"]:
    """r of the formula."""
    xp = array_namespace(image_embeds)
    unlike = -mean_there(cosine(text_embeds, image_embeds), there(text_embeds))
    least, most = xp.min(unlike, axis=1, keepdims=True), xp.max(unlike, axis=1, keepdims=True)
    spread = most - least
    return xp.where(spread > 0, (unlike - least + 1e-6) / xp.where(spread > 0, spread, 1.0), 1.0)
