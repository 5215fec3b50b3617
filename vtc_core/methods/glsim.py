"""GLSim: how similar a token is to CLS."""

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from array_api_compat import array_namespace

from vtc_core import arguments

from .method import Choice, Method, Seen
from .parts import unit, wide


@dataclass(frozen=True)
class GlSim(Method):
    """The tokens whose features are most similar to that of CLS (GLSim, arXiv 2407.12891, equation 1).

        s_j = cos(x_cls, x_j);  or with metric l1, l2:  - mean |x_cls - x_j|,  - mean (x_cls - x_j)^2

    The cheapest score: no attention at all. Deviations: of the feature layer (there the last layer, after its norm);
    there the tokens' bounding box is cropped, here the tokens are kept.
    """

    name: ClassVar[str] = "glsim"
    looks_at: ClassVar[str] = "similarity to CLS' feature"
    source: ClassVar[str] = "arXiv 2407.12891"
    needs: ClassVar[tuple[str, ...]] = ("features", "cls_feature")

    metric: str = "cos"

    def __post_init__(self) -> None:
        arguments.one_of("metric", self.metric, ("cos", "l1", "l2"))

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.features)
        if self.metric == "cos":
            scores = xp.sum(unit(seen.features) * unit(seen.cls_feature), axis=2)
        else:
            apart = wide(seen.features) - wide(seen.cls_feature)
            scores = -xp.mean(xp.abs(apart) if self.metric == "l1" else apart * apart, axis=2)
        return Choice(v.select(scores, keep), scores)
