"""TRIM: tokens by CLIP's view of the prompt, and the mean of all others."""

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from array_api_compat import array_namespace

from .method import Choice, Method, Seen, batch_and_tokens
from .parts import arange, best, mask, one_hot, softmax, wide


@dataclass(frozen=True)
class Trim(Method):
    """The tokens that CLIP says least of the prompt about, and one that is the mean of the others (TRIM, COLING 2025).

        s_j = softmax_j(-e_j . q)
        the keep - 1 highest, in raster order; then the mean of the features of all others

    e is visual_projection(post_layernorm(h)) of features h, q what CLIP's text tower makes of the beginning of the
    prompt, as much as it can take; neither is brought to length 1. The product is negated on purpose: it is lower where
    patches matter.

    Deviations: the mean is one of `keep`, which is fixed (there it comes on top, and by default as many tokens as are
    outliers over all pictures of a call: ratio -1); `keep` 1 is the mean of all, and where all tokens but one are
    chosen the mean is that one (there an error).
    """

    name: ClassVar[str] = "trim"
    looks_at: ClassVar[str] = "CLIP's view of the prompt"
    source: ClassVar[str] = "arXiv 2409.10994"
    needs: ClassVar[tuple[str, ...]] = ("features", "image_embeds", "text_embeds")
    merges: ClassVar[bool] = True

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp, (_, tokens) = array_namespace(seen.image_embeds), batch_and_tokens(seen)
        embeds, text = wide(seen.image_embeds), wide(seen.text_embeds)
        scores = softmax(-xp.sum(embeds * text[:, :1], axis=2))
        kept = best(v, scores, keep - 1)
        others = xp.astype(xp.logical_not(mask(kept, tokens)), scores.dtype)[:, None, :]
        mean = others / xp.sum(others, axis=2, keepdims=True)
        weights = xp.concat([xp.astype(one_hot(kept, tokens), scores.dtype), mean], axis=1)
        nowhere = xp.broadcast_to(arange(1, kept)[None, :] - 1, (scores.shape[0], 1))
        return Choice(xp.concat([kept, xp.astype(nowhere, kept.dtype)], axis=1), scores, weights)
