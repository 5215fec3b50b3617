"""Published ways to drop visual tokens inside a language model, each written once. See `stage` and README.md."""

from .aim import AimPageRank as AimPageRank
from .catalogue import STAGES as STAGES
from .dart import Dart as Dart
from .fastv import FastV as FastV
from .feather import Feather as Feather
from .pact import Pact as Pact
from .pyramiddrop import PyramidDrop as PyramidDrop
from .schedule import Cut as Cut
from .schedule import checked_schedule as checked_schedule
from .sparsevlm import SparseVlm as SparseVlm
from .spelling import stage_of as stage_of
from .stage import EMPTY as EMPTY
from .stage import NO_PLACE as NO_PLACE
from .stage import ROWS as ROWS
from .stage import Running as Running
from .stage import Stage as Stage
from .todre import ToDreStage2 as ToDreStage2
from .visiondrop import VisionDrop as VisionDrop
