"""Published ways to drop visual tokens inside a language model, each written once for every array library."""

from .catalogue import STAGES as STAGES
from .fastv import FastV as FastV
from .spelling import stage_of as stage_of
from .stage import EMPTY as EMPTY
from .stage import NO_PLACE as NO_PLACE
from .stage import ROWS as ROWS
from .stage import Running as Running
from .stage import Stage as Stage
