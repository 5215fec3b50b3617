"""Stages in words: "fastv:layer=2,keep=0.5" on a command line, a JSON object in saved settings, a value in Python."""

from typing import Any

from vtc_core.methods.spelling import listed

from .catalogue import STAGES
from .stage import Stage


def stage_of(value: Any) -> Stage:
    """A stage from any of its spellings: the value itself, a name with parameters, or a mapping.

    >>> stage_of("fastv:layer=3,keep=0.25") == stage_of({"name": "fastv", "layer": 3, "keep": 0.25})
    True

    Raises:
        ValueError, TypeError: an unknown name (the known are listed), an unknown parameter, a value it cannot have.
    """
    examples = "a name such as 'fastv' or 'fastv:layer=2,keep=0.5', or a value such as FastV(layer=2, keep=0.5)"
    return listed("stage", STAGES, value, examples, "schedule")
