"""The catalogue: a name and a class for every method. A new one is a file beside this one, and a line here."""

from .baselines import FeatureNorm, Random, Received, UniformGrid
from .flowcut import FlowCut
from .hiprune import HiPrune
from .holov import HoloV
from .method import Method
from .visionzip import VisionZip
from .vispruner import VisPruner
from .vtc_cls import FasterVlm, VtcCls

METHODS: dict[str, type[Method]] = {
    kind.name: kind
    for kind in (
        VtcCls,
        FasterVlm,
        Received,
        UniformGrid,
        Random,
        FeatureNorm,
        VisionZip,
        FlowCut,
        HiPrune,
        VisPruner,
        HoloV,
    )
}
