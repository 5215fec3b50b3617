"""What one argument may be, each with its refusal: an integer, a word, a place to write to, an array of numbers."""

import operator
import os
from pathlib import Path
from typing import Any

REPLACE = "pass overwrite=True to replace it"  # which the command line puts into words of its own


def is_integer(value: Any) -> bool:
    """Python's, NumPy's and other integers, not bool: `keep=True` is a mistake."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def count(name: str, value: Any, most: int | None = None, of: str = "") -> None:
    message = f"{name} must be an integer {'of at least 1' if most is None else f'in [1, {most}] {of}'}, got {value!r}"
    if not is_integer(value):
        raise TypeError(message)
    if operator.index(value) < 1 or (most is not None and operator.index(value) > most):
        raise ValueError(message)


def whole(name: str, value: Any) -> None:
    """An integer of at least 0."""
    message = f"{name} must be an integer of at least 0, got {value!r}"
    if not is_integer(value):
        raise TypeError(message)
    if operator.index(value) < 0:
        raise ValueError(message)


def number(name: str, value: Any, least: float, most: float) -> None:
    """A real number in [least, most]; NaN is in no interval."""
    message = f"{name} must be a number in [{least:g}, {most:g}], got {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(message)
    if not least <= value <= most:
        raise ValueError(message)


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    message = f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
    if not isinstance(value, str):
        raise TypeError(message)
    if value not in allowed:
        raise ValueError(message)


def vacant(path: Path, overwrite: bool) -> None:
    """Nothing is there, not even a link that leads nowhere; or it may be replaced."""
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path} is there already: {REPLACE}")


def shape(name: str, array: Any, axes: str) -> tuple[Any, ...]:
    """Integers, and symbols where a framework traces sizes that it does not know yet."""
    wanted = f"({', '.join(axes.split())})"
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise TypeError(f"{name} must be an array of shape {wanted}, got {type(array).__name__}")
    if len(array.shape) != len(axes.split()):
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(array.shape)}")
    return tuple(array.shape)


def agree(names: str, axis: str, first: Any, second: Any) -> None:
    if first != second:
        raise ValueError(f"{names} disagree on {axis}: {first} and {second}")


def floating(name: str, array: Any) -> None:
    if "float" not in _dtype(array):
        raise TypeError(f"{name} must be an array of floating-point numbers, got {_dtype(array)}")


def integers(name: str, array: Any) -> None:
    if "int" not in _dtype(array):
        raise TypeError(f"{name} must be an array of integers, got {_dtype(array)}")


def _dtype(array: Any) -> str:
    """The same name in every framework: 'int32', where torch says 'torch.int32'."""
    return str(array.dtype).rpartition(".")[2]
