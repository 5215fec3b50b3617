"""VTC-CLS and FasterVLM: the attention of CLS, ensembled over layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar, SupportsIndex

from array_api_compat import array_namespace

from vtc_core import checks
from vtc_core.spec import resolve_layers

from .method import Choice, Method, Seen
from .parts import plain_layers


@dataclass(frozen=True)
class VtcCls(Method):
    """The tokens to which CLS attends most, summed over the last K layers (arXiv 2412.05819, section 3).

        s_j = reduce_l mean_h softmax(q_cls . k / sqrt(d))[l, h, j],   the `keep` highest, in raster order

    Clauses S1 to S6 of `vtc_core.spec`. Deviations: none.
    """

    name: ClassVar[str] = "vtc-cls"
    looks_at: ClassVar[str] = "attention of CLS, several layers"
    source: ClassVar[str] = "arXiv 2412.05819"
    needs: ClassVar[tuple[str, ...]] = ("cls_attention",)

    layers: SupportsIndex | Sequence[SupportsIndex] = 3
    reduce: str = "sum"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", plain_layers(self.layers))
        checks.reduction(self.reduce)

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return resolve_layers(self.layers, depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.cls_attention)
        scores = v.score(xp.permute_dims(seen.cls_attention, (2, 0, 1))[:, :, None, :], self.reduce)
        return Choice(v.select(scores, keep), scores)


@dataclass(frozen=True)
class FasterVlm(VtcCls):
    """The tokens to which CLS attends most in one layer (arXiv 2412.01818): VTC-CLS with K = 1.

    Deviations: none.
    """

    name: ClassVar[str] = "fastervlm"
    looks_at: ClassVar[str] = "attention of CLS in one layer"
    source: ClassVar[str] = "arXiv 2412.01818"

    layers: SupportsIndex | Sequence[SupportsIndex] = 1
