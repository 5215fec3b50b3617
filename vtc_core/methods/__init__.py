"""Published ways to choose visual tokens, each written once for every array library. See `method` and README.md."""

from .baselines import FeatureNorm as FeatureNorm
from .baselines import Random as Random
from .baselines import Received as Received
from .baselines import UniformGrid as UniformGrid
from .catalogue import METHODS as METHODS
from .combine import all_tokens as all_tokens
from .combine import combine as combine
from .combine import copied as copied
from .flowcut import FlowCut as FlowCut
from .hiprune import HiPrune as HiPrune
from .holov import HoloV as HoloV
from .method import Choice as Choice
from .method import Method as Method
from .method import Seen as Seen
from .spelling import either as either
from .spelling import method_of as method_of
from .spelling import saved as saved
from .spelling import spelled as spelled
from .visionzip import VisionZip as VisionZip
from .vispruner import VisPruner as VisPruner
from .vtc_cls import FasterVlm as FasterVlm
from .vtc_cls import VtcCls as VtcCls
