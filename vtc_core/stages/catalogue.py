"""The catalogue: a name and a class for every stage. A new one is a file beside this one, and a line here."""

from .fastv import FastV
from .stage import Stage

STAGES: dict[str, type[Stage]] = {kind.name: kind for kind in (FastV,)}
