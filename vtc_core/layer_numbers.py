"""Refusals of numbers of layers and hidden states; `checks` has them, too."""

import operator
from collections.abc import Sequence
from typing import Any

from .arguments import is_integer as is_integer


def resolve_layers(layers: Any, depth: Any, feature_layer: Any = -2) -> None:
    last = last_layer(depth, feature_layer)
    if is_integer(layers):
        if not 1 <= operator.index(layers) <= last + 1:
            raise ValueError(
                f"layers must be an integer in [1, {last + 1}] (the layers up to the feature layer), got {layers!r}"
            )
        return
    if not isinstance(layers, Sequence) or isinstance(layers, str) or not all(map(is_integer, layers)):
        raise TypeError(f"layers must be an integer or a sequence of layer numbers, got {layers!r}")
    if not layers:
        raise ValueError("layers must name at least one layer, got an empty sequence")
    for layer in map(operator.index, layers):
        if not -depth <= layer < depth:
            raise ValueError(f"layers must be numbers in [{-depth}, {depth - 1}] (the {depth} layers), got {layer}")
        if layer % depth > last:
            raise ValueError(
                f"layer {layer % depth} comes after the feature layer (layer {last} of {depth}), "
                "its attention is not part of the features"
            )
    numbers = tuple(sorted(operator.index(layer) % depth for layer in layers))
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"layers must not repeat, got {tuple(layers)!r}, which is {numbers}")


def last_layer(depth: int, feature_layer: Any) -> int:
    """The last useful layer, the one of `depth` that makes `hidden_states[feature_layer]`; [0] are the embeddings."""
    message = (
        f"feature_layer must be an integer in [1, {depth}] or [{-depth}, -1] "
        f"(a hidden state that one of the {depth} layers makes), got {feature_layer!r}"
    )
    if not is_integer(feature_layer):
        raise TypeError(message)
    number = operator.index(feature_layer)
    if not (1 <= number <= depth or -depth <= number <= -1):
        raise ValueError(message)
    return number % (depth + 1) - 1


def feature_layers(depth: int, feature_layer: Any) -> tuple[int, ...]:
    """The numbers, 0 to `depth`, of the hidden states that are the features: of one, or of several in their order.

    Among several the embeddings (0) may be one, as VipLLaVA allows; the latest is what a layer has to make.
    """
    if isinstance(feature_layer, str) or not isinstance(feature_layer, Sequence):
        return (last_layer(depth, feature_layer) + 1,)
    message = (
        f"feature_layer must be integers in [{-depth - 1}, {depth}] (hidden states, the embeddings first), "
        f"not the embeddings alone, got {feature_layer!r}"
    )
    if not all(map(is_integer, feature_layer)):
        raise TypeError(message)
    numbers = [operator.index(number) for number in feature_layer]
    if not all(-depth - 1 <= n <= depth for n in numbers) or not any(n % (depth + 1) for n in numbers):
        raise ValueError(message)
    return tuple(number % (depth + 1) for number in numbers)
