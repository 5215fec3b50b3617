"""The catalogue: a name and a class for every stage. A new one is a file beside this one, and a line here."""

from .aim import AimPageRank
from .dart import Dart
from .fastv import FastV
from .feather import Feather
from .pact import Pact
from .pyramiddrop import PyramidDrop
from .sparsevlm import SparseVlm
from .stage import Stage
from .todre import ToDreStage2
from .visiondrop import VisionDrop

STAGES: dict[str, type[Stage]] = {
    kind.name: kind
    for kind in (FastV, PyramidDrop, Feather, VisionDrop, SparseVlm, Pact, AimPageRank, Dart, ToDreStage2)
}
