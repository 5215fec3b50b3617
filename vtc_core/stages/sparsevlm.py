"""SparseVLM: what the words that the picture is about attend to, and a few mixtures of what is left."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Bool

from vtc_core.methods import Choice
from vtc_core.methods.parts import at, best, one_hot, ranked, rest, wide

from .attention import mean_map, softmax, text
from .budgets import Keep, ascending, budgets, counted, falling
from .ends import mixing, unchanged
from .peaks import densities, density_peaks, spaces
from .stage import Running, Stage


@dataclass(frozen=True)
class SparseVlm(Stage):
    """Visual tokens to which words about the picture attend, the best others merged (SparseVLM, v1, ICML 2025).

        u_t     mean over visual i of softmax over t (e_i . e_t),  embeddings e of the text after the pictures
        raters  the t with u_t above the mean
        s_j     mean over raters and heads of softmax(q_t . k / sqrt(d))[h, j], causal, of layer l
        left    after layer l: the `keep` highest, then means, without places, of the floor(0.3 d) + 1 best of the d
                others in floor(that / 10) + 1 clusters around density peaks (DPC-kNN); a sum is divided by n + 1e-6

    `layers` are those whose attention counts: cuts are before the next ones. `keep` has for each a count, or a share of
    the N visual tokens that entered; means are extra. As published for 64 of 576: (66, 30, 17); for 128 (303, 110, 36).
    Where no more than `keep` tokens are left, all stay. Positions are renumbered.

    Deviations: no noise is added to densities (there 1e-6 of a random number decides between equal ones, here the
    higher score). All stay where the budget allows it (there one is always merged). One rater at least: where no word
    is above the mean, all after the pictures rate (there NaN). Without text after the pictures scores are 0.
    """

    name: ClassVar[str] = "sparsevlm"
    looks_at: ClassVar[str] = "attention of words on the picture"
    source: ClassVar[str] = "arXiv 2410.04417"
    needs: ClassVar[tuple[str, ...]] = ("query", "keys", "hidden", "embeddings")
    rows: ClassVar[str] = "text"
    renumbers: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    layers: tuple[int, ...] = (2, 6, 15)
    keep: tuple[Keep, ...] = (300, 200, 110)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", ascending(self.layers))
        object.__setattr__(self, "keep", budgets("keep", self.keep, self.layers))

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        counts, left = [], tokens
        for keep in self.keep:
            count = counted(keep, tokens)
            left = min(left, count + clusters_of(left - count))
            counts.append(left)
        return falling([layer + 1 for layer in self.layers], counts, depth, tokens)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        xp, tokens = array_namespace(seen.keys), seen.visual.shape[1]
        where = text(v, seen.visual, seen.keys.shape[2])
        rows = mean_map(seen.query, seen.keys, scale, where)
        rated = xp.astype(raters(v, seen), rows.dtype)
        rated = rated / xp.maximum(xp.sum(rated, axis=1, keepdims=True), xp.ones_like(rated[:, :1]))
        scores = at(v, xp.sum(rows * rated[:, :, None], axis=1), seen.visual)
        if keep >= tokens:
            return unchanged(scores)
        budget = counted(self.keep[self.layers.index(layer - 1)], seen.entered.shape[1])
        clusters = clusters_of(tokens - budget)
        kept = best(v, scores, keep - clusters)
        others = rest(v, kept, tokens) if keep > clusters else text(v, kept, tokens)
        recycled = at(v, others, ranked(at(v, scores, others))[:, : recycled_of(others.shape[1])])
        space = spaces(v.gather(v.gather(seen.hidden, seen.visual), recycled))
        _, members = density_peaks(v, space, densities(space, clusters), clusters)
        members = xp.astype(members, scores.dtype)
        means = members / (xp.sum(members, axis=2, keepdims=True) + 1e-6)
        return mixing(scores, kept, xp.matmul(means, xp.astype(one_hot(recycled, tokens), scores.dtype)))


def raters(v: ModuleType, seen: Running) -> Bool[Any, "batch others"]:
    """Which of the text tokens rate, those after the pictures alone."""
    xp = array_namespace(seen.embeddings)
    where = text(v, seen.entered, seen.embeddings.shape[1])
    after = where > seen.entered[:, -1:]
    if not where.shape[1]:
        return after
    words = v.gather(wide(seen.embeddings), where)
    products = xp.matmul(v.gather(wide(seen.embeddings), seen.entered), xp.matrix_transpose(words))
    likeness = xp.mean(softmax(products, after[:, None, :]), axis=1)
    number = xp.sum(xp.astype(after, likeness.dtype), axis=1, keepdims=True)
    above = likeness * number > xp.sum(likeness, axis=1, keepdims=True)  # those before have a likeness of 0
    return xp.where(xp.any(above, axis=1, keepdims=True), above, after)


def recycled_of(dropped: int) -> int:
    return int(0.3 * dropped) + 1


def clusters_of(dropped: int) -> int:
    return recycled_of(dropped) // 10 + 1 if dropped > 0 else 0
