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


def falling(layers: Sequence[int], counts: Sequence[int], depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
    """What `Stage.schedule` returns: before each of the layers its count, or what is left where that is less."""
    made = []
    for layer, count in zip(layers, counts, strict=True):
        tokens = min(tokens, count)
        made.append((before(layer, depth), tokens))
    return tuple(made)


def before(layer: int, depth: int) -> int:
    """`layer`, if a language model of `depth` layers can be cut before it."""
    if not 1 <= layer < depth:
        raise ValueError(
            f"a stage must cut before a layer in [1, {depth - 1}] of a language model of {depth} layers, got {layer}"
        )
    return layer


def ascending(layers: Any) -> tuple[int, ...]:
    """Different layer numbers of at least 1, from the lowest to the highest."""
    if not isinstance(layers, Sequence) or isinstance(layers, str) or not all(map(arguments.is_integer, layers)):
        raise TypeError(f"layers must be a sequence of layer numbers, got {layers!r}")
    if not layers or any(low >= high for low, high in zip((0, *layers), layers, strict=False)):
        raise ValueError(f"layers must be layer numbers of at least 1, from low to high, got {layers!r}")
    return tuple(map(int, layers))


def budgets(name: str, keep: Any, layers: tuple[int, ...]) -> tuple[Keep, ...]:
    """A share or a count for every layer."""
    return per_layer(name, keep, layers, budget)


def per_layer(name: str, values: Any, layers: tuple[int, ...], check: Callable[[str, Any], None]) -> tuple[Any, ...]:
    """As many values as layers, each as `check` has it."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != len(layers):
        raise ValueError(f"{name} must have a number for each of the {len(layers)} layers, got {values!r}")
    for value in values:
        check(name, value)
    return tuple(values)
