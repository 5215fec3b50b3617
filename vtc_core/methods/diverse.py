"""DivPrune and ToDRE: tokens that are far from each other."""

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from array_api_compat import array_namespace

from .greedy import disperse, farthest
from .method import Choice, Method, Seen, following
from .parts import arange, cosine, symmetric, wide


@dataclass(frozen=True)
class DivPrune(Method):
    """Always the token whose nearest chosen one is farthest (DivPrune, CVPR 2025, section 3.2: max-min diversity).

        D_ij = 1 - cos(p_i, p_j) of projected tokens
        first  argmax_j min_{i != j} D_ij;   then  argmax_j min_{i chosen} D_ij;   raster order

    Deviations: no token is chosen twice (of equal tokens the code takes the first again and again); ties go to the
    lower index. Of a picture in tiles all tokens compete, as there, but not the newlines.
    """

    name: ClassVar[str] = "divprune"
    looks_at: ClassVar[str] = "distances of projected tokens"
    source: ClassVar[str] = "arXiv 2503.02175"
    needs: ClassVar[tuple[str, ...]] = ("projected",)
    whole_picture: ClassVar[bool] = True

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.projected)
        distance = 1 - symmetric(cosine(seen.projected, seen.projected))
        number = arange(distance.shape[1], distance)
        nearest = xp.min(xp.where(number[:, None] == number[None, :], 3.0, distance), axis=1)  # none is farther than 2
        return Choice(xp.sort(farthest(v, distance, nearest, keep), axis=1), nearest)


@dataclass(frozen=True)
class ToDre(Method):
    """From the token to which CLS attends most, always the one least similar to all chosen together (ToDRE, stage 1).

        c_1 = argmax_j softmax(q_cls . k / sqrt(d))[j] in the encoder's layer after the feature layer, in the base tile
        c_t = argmin_j sum_{c chosen} cos(p_c, p_j) of projected tokens;   raster order

    arXiv 2505.18757v2, algorithm 1; there is no public code. Deviations: what the text leaves open: mean over heads,
    ties to the lower index. Of a video whose frames compete with each other the first token is of the first frame
    (there the best of all frames). Stage 2 is inside the language model and not here.
    """

    name: ClassVar[str] = "todre"
    looks_at: ClassVar[str] = "similarities, from CLS' favourite on"
    source: ClassVar[str] = "arXiv 2505.18757"
    needs: ClassVar[tuple[str, ...]] = ("cls_attention", "projected")
    whole_picture: ClassVar[bool] = True

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return following(depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.projected)
        attention = wide(seen.cls_attention[:, :, -1])
        in_base = seen.tile == xp.min(seen.tile, axis=1, keepdims=True)
        start = xp.where(in_base, attention, -xp.inf)
        order = disperse(v, cosine(seen.projected, seen.projected), start, keep)
        return Choice(xp.sort(order, axis=1), attention)
