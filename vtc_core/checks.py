"""Every refusal of the project, once: shapes and integers in, a ValueError or TypeError out, before any work.

A message names the argument, what is allowed in this call's numbers, and what came. The functions named like verbs take
the verb's own arguments and look at `.shape` and `.dtype` only, so that one text serves NumPy, torch, JAX and ONNX:

    @checks.before(checks.select)
    def select(scores, keep): ...
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from . import arguments
from .arguments import is_integer as is_integer
from .layer_numbers import feature_layers as feature_layers
from .layer_numbers import last_layer as last_layer
from .layer_numbers import resolve_layers as resolve_layers

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
    query_shape = arguments.shape("query", query, "batch heads head_dim")
    keys_shape = arguments.shape("keys", keys, "batch heads 1+tokens head_dim")
    _attention(query, query_shape, keys, keys_shape)
    if keys_shape[2] < 2:
        raise ValueError(f"keys must hold CLS and at least one patch token, got {keys_shape[2]} in all")


def received_attention(query: Any, keys: Any, scale: Any, block: Any = 64, weights: Any = None) -> None:
    query_shape = arguments.shape("query", query, "batch heads tokens head_dim")
    keys_shape = arguments.shape("keys", keys, "batch heads length head_dim")
    _attention(query, query_shape, keys, keys_shape)
    if not 1 <= query_shape[2] <= keys_shape[2]:
        raise ValueError(
            f"keys must hold those of all patch tokens, got {keys_shape[2]} for {query_shape[2]} patch tokens"
        )
    arguments.count("block", block)
    if weights is not None:
        weights_shape = arguments.shape("weights", weights, "batch tokens")
        arguments.agree("query and weights", "batch", query_shape[0], weights_shape[0])
        arguments.agree("query and weights", "tokens", query_shape[2], weights_shape[1])


def _attention(query: Any, query_shape: tuple[Any, ...], keys: Any, keys_shape: tuple[Any, ...]) -> None:
    for axis, index in (("batch", 0), ("heads", 1), ("head_dim", -1)):
        arguments.agree("query and keys", axis, query_shape[index], keys_shape[index])
    arguments.floating("query", query)
    arguments.floating("keys", keys)


def score(cls_attention: Any, reduce: Any = "sum") -> None:
    layers, _, heads, _ = arguments.shape("cls_attention", cls_attention, "layers batch heads tokens")
    if layers < 1 or heads < 1:
        raise ValueError(
            f"cls_attention must have at least one layer and one head, got shape {tuple(cls_attention.shape)}"
        )
    arguments.floating("cls_attention", cls_attention)
    reduction(reduce)


def select(scores: Any, keep: Any) -> None:
    _, tokens = arguments.shape("scores", scores, "batch tokens")
    arguments.floating("scores", scores)
    budget(keep, tokens)


def gather(features: Any, indices: Any) -> None:
    batch, tokens, _ = arguments.shape("features", features, "batch tokens dim")
    indices_batch, keep = arguments.shape("indices", indices, "batch keep")
    arguments.agree("features and indices", "batch", batch, indices_batch)
    if keep > tokens:
        raise ValueError(f"indices must name at most {tokens} tokens (the number of patch tokens), got {keep}")
    arguments.integers("indices", indices)


def choice(choice: Any, mixable: bool) -> None:
    """What a caller's own choice returned; mixtures of tokens only where the features of all are there to be mixed."""
    if not all(hasattr(choice, field) for field in ("indices", "scores", "weights")):
        raise TypeError(f"choose must return a Choice (indices, scores, weights), got {type(choice).__name__}")
    chosen(choice.indices)
    if choice.weights is not None and not mixable:
        raise ValueError("choose must return no weights where the method sees no features: there is nothing to mix")


def chosen(indices: Any) -> None:
    """What a caller's own choice returned, before `gather` sees it: at least one token of each picture."""
    if arguments.shape("indices", indices, "batch keep")[1] < 1:
        raise ValueError(f"indices must name at least 1 token of each picture, got shape {tuple(indices.shape)}")
    arguments.integers("indices", indices)


def prune(features: Any, cls_attention: Any, keep: Any, reduce: Any = "sum") -> None:
    batch, tokens, _ = arguments.shape("features", features, "batch tokens dim")
    score(cls_attention, reduce)
    arguments.agree("features and cls_attention", "batch", batch, cls_attention.shape[1])
    arguments.agree("features and cls_attention", "tokens", tokens, cls_attention.shape[3])
    budget(keep, tokens)


def pixels(pixel_values: Any, side: int, patch: int) -> None:
    """As many patches either way as there are positions: SigLIP takes 12 x 48 for 24 x 24 without a word."""
    _, _, height, width = arguments.shape("pixel_values", pixel_values, "batch channels height width")
    if (height // patch, width // patch) != (side // patch, side // patch):
        raise ValueError(f"pixel_values must be pictures of {side} x {side} pixels, got {height} x {width}")


# --- single arguments -------------------------------------------------------------------------------------------------


def budget(keep: Any, tokens: int | None = None, name: str = "keep") -> None:
    """`keep` tokens of `tokens`; of a number not known yet when None. `name` is what the caller calls it."""
    arguments.count(name, keep, tokens, "(the number of patch tokens)")


def reduction(reduce: Any) -> None:
    arguments.one_of("reduce", reduce, REDUCES)


def encoder(tokens: int, depth: int, keep: Any, method: Any, feature_layer: Any) -> None:
    """The settings of a pruned encoder that makes `tokens` patch tokens in `depth` layers.

    Of several feature layers the latest is the feature layer for the layers that a method looks at.
    """
    budget(keep, tokens)
    feature = max(feature_layers(depth, feature_layer))
    layers = method.layers_seen(depth, feature)
    if list(layers) != sorted(set(layers)) or not all(0 <= layer <= min(feature, depth - 1) for layer in layers):
        raise ValueError(
            f"method {method.name!r} must look at layers in [0, {min(feature, depth - 1)}], ascending, got {layers}"
        )
