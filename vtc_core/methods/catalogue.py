"""The catalogue: a name and a class for every method. A new one is a file beside this one, and a line here."""

from .baselines import FeatureNorm, Random, Received, UniformGrid
from .catp import Catp, CatpText
from .cdpruner import CdPruner
from .centerclip import CenterClip
from .dart import Dart
from .diverse import DivPrune, ToDre
from .flowcut import FlowCut
from .globalcom2 import GlobalCom2
from .glsim import GlSim
from .gprune import GPrune
from .hiprune import HiPrune
from .holov import HoloV
from .method import Method
from .mmtok import MmTok
from .pact import Pact
from .prumerge import PruMerge, PruMergePlus
from .tome import Aim, ToMe
from .trim import Trim
from .vflowopt import VFlowOpt
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
        PruMerge,
        PruMergePlus,
        GlobalCom2,
        VFlowOpt,
        DivPrune,
        ToDre,
        Catp,
        GPrune,
        GlSim,
        ToMe,
        Aim,
        CenterClip,
        Pact,
        Dart,
        MmTok,
        CatpText,
        CdPruner,
        Trim,
    )
}
