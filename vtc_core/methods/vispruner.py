"""VisPruner: what CLS attends to, and of the rest what is unlike each other."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from vtc_core import arguments
from vtc_core.spec import resolve_layers

from .method import Choice, Method, Seen
from .parts import arange, at, cosine, ranked, wide


@dataclass(frozen=True)
class VisPruner(Method):
    """Important tokens by attention of CLS, diverse ones by thinning the rest (ICCV 2025).

        order     tokens by mean_h softmax(q_cls . k / sqrt(d)), best first
        important order[:n], n = floor(keep * important);  the others are thinned to keep - n
        a round   E = others[0::2], O = others[1::2];  E by its highest cosine to one of O, the highest first;
                  up to `step` of them are dropped;  others = E left ++ O

    Deviations: an odd number of others, and fewer of E than `step`, take the meant step, ceil(others / 2) of E and at
    most all of E dropped (there an IndexError).
    """

    name: ClassVar[str] = "vispruner"
    looks_at: ClassVar[str] = "attention of CLS; others' features"
    source: ClassVar[str] = "arXiv 2412.01818"
    needs: ClassVar[tuple[str, ...]] = ("cls_attention", "features")

    important: int | float = 0.5
    step: int = 8

    def __post_init__(self) -> None:
        arguments.number("important", self.important, 0.0, 1.0)
        arguments.count("step", self.step)

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return resolve_layers(1, depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.features)
        scores = wide(seen.cls_attention[:, :, -1])
        order, count = ranked(scores), int(keep * self.important)
        diverse = thin(v, seen.features, order[:, count:], keep - count, self.step)
        return Choice(xp.sort(xp.concat([order[:, :count], diverse], axis=1), axis=1), scores)


def thin(
    v: ModuleType, features: Float[Any, "batch tokens dim"], others: Int[Any, "batch others"], count: Any, step: int
) -> Int[Any, "batch count"]:
    """`count` of the others, in the order that the rounds leave them in.

    Those that are left are the first `left` of a fixed number of places. One place more than others, never left: so
    that there is an odd one.
    """
    xp, size = array_namespace(features), others.shape[1]
    alike = cosine(features, features)
    alike = xp.where(alike == alike, alike, -1.0)  # NaN, which would be sorted among the places that are not left
    place = arange(size + 1, others)

    def round_(_: Any, order: Any, left: Any) -> tuple[Any, Any]:
        even, odd = order[:, 0::2], order[:, 1::2]
        pairs = v.gather(xp.matrix_transpose(v.gather(alike, even)), odd)  # batch odd even
        highest = xp.max(xp.where((place[1::2] < left)[None, :, None], pairs, -xp.inf), axis=1)
        by_likeness = ranked(xp.where((place[0::2] < left)[None, :], highest, -xp.inf))
        evens = (left + 1) // 2
        dropped = xp.minimum(xp.minimum(left - count, evens), xp.zeros_like(left) + step)
        both = xp.concat([at(v, even, by_likeness), odd], axis=1)
        source = xp.where(place < evens - dropped, place + dropped, even.shape[1] + place - (evens - dropped))
        thinned = xp.take(both, xp.minimum(source, xp.zeros_like(source) + size), axis=1)
        return xp.where(dropped > 0, thinned, order), left - dropped

    state = xp.concat([others, others[:, :1]], axis=1), xp.full((), size, dtype=others.dtype, device=device(others))
    # A round drops `step`, or half of what is left once that is less.
    rounds = min((size - count + step - 1) // step + int(step).bit_length(), size - count)
    return v.scan(round_, state, rounds)[0][:, :count]
