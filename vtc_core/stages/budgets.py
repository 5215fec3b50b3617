"""How many visual tokens a stage leaves, and before which layers: the checks and counts that stages share."""

from collections.abc import Callable, Sequence
from typing import Any

from vtc_core import arguments

Keep = int | float  # an int is a count of at least 1, a float a share in (0, 1] of the tokens that entered


def budget(name: str, value: Any) -> None:
    """Refuses what is neither a share nor a count."""
    if isinstance(value, float):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be a share in (0, 1], or an integer of at least 1, got {value!r}")
    else:
        arguments.count(name, value)


def counted(keep: Keep, tokens: int, whole: Callable[[float], int] = int) -> int:
    """Of `tokens`, at most all of them; `whole` makes an integer of a share, as the authors do."""
    return min(tokens, whole(tokens * keep) if isinstance(keep, float) else keep)


def before(layer: int, depth: int, name: str = "layer") -> int:
    """`layer`, if a language model of `depth` layers has layers before and after the cut."""
    if not 1 <= layer < depth:
        raise ValueError(f"{name} must be in [1, {depth - 1}] in a language model of {depth} layers, got {layer}")
    return layer


def ascending(layers: Any) -> tuple[int, ...]:
    """Different layer numbers of at least 1, from the lowest to the highest; one number is a sequence of one."""
    if arguments.is_integer(layers):
        layers = (layers,)
    if not isinstance(layers, Sequence) or isinstance(layers, str) or not all(map(arguments.is_integer, layers)):
        raise TypeError(f"layers must be a sequence of layer numbers, got {layers!r}")
    if not layers or any(low >= high for low, high in zip((0, *layers), layers, strict=False)):
        raise ValueError(f"layers must be layer numbers of at least 1, from low to high, got {layers!r}")
    return tuple(map(int, layers))


def budgets(keep: Any, layers: tuple[int, ...]) -> tuple[Keep, ...]:
    """One for every layer, as `budget` has them."""
    keep = (keep,) if isinstance(keep, int | float) else keep
    if not isinstance(keep, Sequence) or isinstance(keep, str) or len(keep) != len(layers):
        raise ValueError(f"keep must have a share or a count for each of the {len(layers)} layers, got {keep!r}")
    for value in keep:
        budget("keep", value)
    return tuple(keep)
