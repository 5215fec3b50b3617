"""Every refusal of the project, once: shapes and integers in, a ValueError or TypeError out, before any work.

A message names the argument, what is allowed in this call's numbers, and what came. The functions named like verbs take
the verb's own arguments and look at `.shape` and `.dtype` only, so that one text serves NumPy, torch, JAX and ONNX:

    @checks.before(checks.select)
    def select(scores, keep): ...
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

REDUCES = ("sum", "mean", "max", "min")

P = ParamSpec("P")
R = TypeVar("R")


def before(check: Callable[..., None]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run `check` on a function's arguments before the function."""

    def decorate(fn: Callable[P, R]) -> Callable[P, R]:
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            check(*args, **kwargs)
            return fn(*args, **kwargs)

        checked.__code__ = checked.__code__.replace()  # torch.compile counts recompilations per code object
        return functools.wraps(fn)(checked)

    return decorate


# --- the verbs --------------------------------------------------------------------------------------------------------


def attend(query: Any, keys: Any, scale: Any) -> None:
    batch, heads, head_dim = _shape("query", query, "batch heads head_dim")
    keys_batch, keys_heads, length, keys_dim = _shape("keys", keys, "batch heads 1+tokens head_dim")
    _agree("query and keys", "batch", batch, keys_batch)
    _agree("query and keys", "heads", heads, keys_heads)
    _agree("query and keys", "head_dim", head_dim, keys_dim)
    if length < 2:
        raise ValueError(f"keys must hold CLS and at least one patch token, got {length} in all")
    _floating("query", query)
    _floating("keys", keys)


def score(cls_attention: Any, reduce: Any = "sum") -> None:
    layers, _, heads, _ = _shape("cls_attention", cls_attention, "layers batch heads tokens")
    if layers < 1 or heads < 1:
        raise ValueError(
            f"cls_attention must have at least one layer and one head, got shape {tuple(cls_attention.shape)}"
        )
    _floating("cls_attention", cls_attention)
    reduction(reduce)


def select(scores: Any, keep: Any) -> None:
    _, tokens = _shape("scores", scores, "batch tokens")
    _floating("scores", scores)
    budget(keep, tokens)


def gather(features: Any, indices: Any) -> None:
    batch, tokens, _ = _shape("features", features, "batch tokens dim")
    indices_batch, keep = _shape("indices", indices, "batch keep")
    _agree("features and indices", "batch", batch, indices_batch)
    if keep > tokens:
        raise ValueError(f"indices must name at most {tokens} tokens (the number of patch tokens), got {keep}")
    if "int" not in _dtype(indices):
        raise TypeError(f"indices must be an array of integers, got {_dtype(indices)}")


def prune(features: Any, cls_attention: Any, keep: Any, reduce: Any = "sum") -> None:
    batch, tokens, _ = _shape("features", features, "batch tokens dim")
    score(cls_attention, reduce)
    _agree("features and cls_attention", "batch", batch, cls_attention.shape[1])
    _agree("features and cls_attention", "tokens", tokens, cls_attention.shape[3])
    budget(keep, tokens)


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


# --- single arguments -------------------------------------------------------------------------------------------------


def budget(keep: Any, tokens: int | None = None) -> None:
    """`keep` tokens of `tokens`; of a number not known yet when None."""
    allowed = f"in [1, {tokens}] (the number of patch tokens)" if tokens is not None else "of at least 1"
    message = f"keep must be an integer {allowed}, got {keep!r}"
    if not is_integer(keep):
        raise TypeError(message)
    if operator.index(keep) < 1 or (tokens is not None and operator.index(keep) > tokens):
        raise ValueError(message)


def reduction(reduce: Any) -> None:
    if not isinstance(reduce, str):
        raise TypeError(f"reduce must be one of {', '.join(map(repr, REDUCES))}, got {reduce!r}")
    if reduce not in REDUCES:
        raise ValueError(f"reduce must be one of {', '.join(map(repr, REDUCES))}, got {reduce!r}")


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


def is_integer(value: Any) -> bool:
    """Python's, NumPy's and other integers, not bool: `keep=True` is a mistake."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def encoder(tokens: int, depth: int, keep: Any, layers: Any, reduce: Any, feature_layer: Any) -> None:
    """The settings of a pruned encoder that makes `tokens` patch tokens in `depth` layers."""
    budget(keep, tokens)
    reduction(reduce)
    resolve_layers(layers, depth, feature_layer)


# --- arrays -----------------------------------------------------------------------------------------------------------


def _shape(name: str, array: Any, axes: str) -> tuple[int, ...]:
    wanted = f"({', '.join(axes.split())})"
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise TypeError(f"{name} must be an array of shape {wanted}, got {type(array).__name__}")
    if len(array.shape) != len(axes.split()):
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(array.shape)}")
    return tuple(array.shape)


def _agree(names: str, axis: str, first: int, second: int) -> None:
    if first != second:
        raise ValueError(f"{names} disagree on {axis}: {first} and {second}")


def _floating(name: str, array: Any) -> None:
    if "float" not in _dtype(array):
        raise TypeError(f"{name} must be an array of floating-point numbers, got {_dtype(array)}")


def _dtype(array: Any) -> str:
    """The same name in every framework: 'int32', where torch says 'torch.int32'."""
    return str(array.dtype).rpartition(".")[2]
