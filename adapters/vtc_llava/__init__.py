"""Prune the visual tokens of a stock Hugging Face LLaVA in one call, and undo it in another."""

from .answering import answer_from as answer_from
from .answering import project as project
from .figures import show as show
from .handle import Handle as Handle
from .patching import load as load
from .patching import patch as patch
from .savings import Description as Description
from .settings import Settings as Settings
from .text_tower import TextTower as TextTower
from .words import prompted as prompted
