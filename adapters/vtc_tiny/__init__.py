"""A LLaVA small enough to ship, and the scenes it was trained on.

`scene` and `questions` need NumPy and Pillow; torch and transformers are imported by `load` alone.
"""

from .questions import Question as Question
from .questions import questions as questions
from .scenes import HELD_OUT_SEEDS as HELD_OUT_SEEDS
from .scenes import TRAIN_SEEDS as TRAIN_SEEDS
from .scenes import Object as Object
from .scenes import Scene as Scene
from .scenes import scene as scene
from .shipped import PATH as PATH
from .shipped import load as load
