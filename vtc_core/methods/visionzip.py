"""VisionZip: what CLS attends to, and a few mixtures of what is left."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Float, Int

from vtc_core import arguments
from vtc_core.spec import resolve_layers

from .method import Choice, Method, Seen, batch_and_tokens
from .parts import arange, best, cosine, mask, one_hot, prefix, rest, wide


@dataclass(frozen=True)
class VisionZip(Method):
    """CLS, the tokens to which it attends most, and the others merged into anchors with similar keys (CVPR 2025).

        dominant   CLS and the keep - contextual - 1 highest s_j = mean_h softmax(q_cls . k / sqrt(d))[h, j]
        m_j        mean_h k[h, j];  anchors: every (others // contextual)th of the other tokens
        slot(j)    the anchor with the highest cosine to m_j
        contextual x_anchor + mean of the x_j in its slot

    Rows are fed in this order: CLS (index -1), dominant tokens in raster order, anchors. A `keep` too small for it has
    fewer contextual rows, at most keep - 1: `keep` 1 is CLS alone.

    Deviations: `contextual` 0 is allowed (the authors' code divides by it); keys are averaged in float32 at least; a
    key of length 0 has the cosine 0 (there NaN).
    """

    name: ClassVar[str] = "visionzip"
    looks_at: ClassVar[str] = "attention of CLS; others' keys"
    source: ClassVar[str] = "arXiv 2412.04467"
    needs: ClassVar[tuple[str, ...]] = ("cls_attention", "keys")
    merges: ClassVar[bool] = True
    feeds_cls: ClassVar[bool] = True

    contextual: int = 10

    def __post_init__(self) -> None:
        arguments.whole("contextual", self.contextual)

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return resolve_layers(1, depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.keys)
        _, tokens = batch_and_tokens(seen)
        scores = wide(seen.cls_attention[:, :, -1])
        contextual = min(self.contextual, keep - 1)
        slots = max(contextual, 1)  # cut to `contextual` at the end: nothing has to be done for none
        dominant = best(v, scores, max(keep - 1 - self.contextual, 0))
        anchors, mixed = anchored(v, xp.mean(wide(seen.keys), axis=2), dominant, slots)
        plain = xp.astype(one_hot(dominant, tokens), scores.dtype)
        weights = xp.concat([xp.zeros_like(scores)[:, None, :], plain, prefix(mixed, contextual)], axis=1)
        cls = xp.zeros_like(anchors[:, :1]) - 1
        return Choice(xp.concat([cls, dominant, prefix(anchors, contextual)], axis=1), scores, weights)


def anchored(
    v: ModuleType, keys: Float[Any, "batch tokens dim"], dominant: Int[Any, "batch some"], slots: Any
) -> tuple[Int[Any, "batch slots"], Float[Any, "batch slots tokens"]]:
    """Of the tokens that are not dominant, `slots` anchors and the weights of the mixtures around them."""
    xp, tokens = array_namespace(keys), keys.shape[1]
    others = rest(v, dominant, tokens)
    anchors = xp.take(others, arange(slots, others) * (others.shape[1] // slots), axis=1)
    slot = xp.argmax(cosine(keys, v.gather(keys, anchors)), axis=2)
    merged = xp.logical_not(mask(xp.concat([dominant, anchors], axis=1), tokens))
    members = (slot[:, None, :] == arange(slots, slot)[None, :, None]) & merged[:, None, :]
    members = xp.astype(members, keys.dtype)
    sizes = xp.sum(members, axis=2, keepdims=True)
    return anchors, xp.astype(one_hot(anchors, tokens), keys.dtype) + members / xp.where(sizes > 0, sizes, 1.0)
