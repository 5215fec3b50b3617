"""Every refusal: the exception and its whole message, the same on every backend (`vtc_core.checks` has them all)."""

import numpy as np
import pytest

from . import checkpoints, inputs
from .repro import given

KEEP = "keep must be an integer in [1, 9] (the number of patch tokens), got "
REDUCE = "reduce must be one of 'sum', 'mean', 'max', 'min', got "
LAYERS = "layers must be an integer or a sequence of layer numbers, got "
LAYER_COUNT = "layers must be an integer in [1, 23] (the layers up to the feature layer), got "
LAYER_RANGE = "layers must be numbers in [-24, 23] (the 24 layers), got "
AFTER = "layer 23 comes after the feature layer (layer 22 of 24), its attention is not part of the features"
FEATURE_LAYER = (
    "feature_layer must be an integer in [1, 24] or [-24, -1] (a hidden state that one of the 24 layers makes), got "
)
ATTENTION, FEATURES, SCORES = (3, 2, 4, 9), (2, 9, 5), (2, 9)  # shapes of zeros


def arrays(shapes):
    """Shapes stand for zeros: of float32, or of the dtype named after them."""
    for number, x in enumerate(shapes):
        if isinstance(x, tuple):
            shape, dtype = (x[:-1], x[-1]) if isinstance(x[-1], str) else (x, "float32")
            x = given(f"array_{number}", inputs.zeros, shape, dtype)
        yield x


def refused(target, verb, arguments, kind, message):
    target.check_refusal(kind, message, verb, *arrays(arguments))


@pytest.mark.parametrize(("got", "kind"), [
    (0, ValueError), (-1, ValueError), (10, ValueError), (np.int64(10), ValueError),
    (2.0, TypeError), (True, TypeError), (None, TypeError), ("4", TypeError),
])  # fmt: skip
def test_s4_keep_is_an_integer_from_1_to_tokens(target, got, kind):
    refused(target, "select", (SCORES, got), kind, f"{KEEP}{got!r}")
    refused(target, "prune", (FEATURES, ATTENTION, got), kind, f"{KEEP}{got!r}")


def test_s4_nothing_can_be_kept_of_nothing(target):
    message = "keep must be an integer in [1, 0] (the number of patch tokens), got 1"
    refused(target, "select", ((2, 0), 1), ValueError, message)


@pytest.mark.parametrize(("arguments", "kind", "message"), [
    (((23,), 24), ValueError, AFTER),
    (((-1, 3), 24), ValueError, AFTER),
    (((23,), 24, 23), ValueError, AFTER),
    ((24, 24), ValueError, f"{LAYER_COUNT}24"),
    ((0, 24), ValueError, f"{LAYER_COUNT}0"),
    (((), 24), ValueError, "layers must name at least one layer, got an empty sequence"),
    (((24,), 24), ValueError, f"{LAYER_RANGE}24"),
    (((-25,), 24), ValueError, f"{LAYER_RANGE}-25"),
    (((22, -2), 24), ValueError, "layers must not repeat, got (22, -2), which is (22, 22)"),
    (("3", 24), TypeError, f"{LAYERS}'3'"),
    ((True, 24), TypeError, f"{LAYERS}True"),
    ((2.5, 24), TypeError, f"{LAYERS}2.5"),
    ((None, 24), TypeError, f"{LAYERS}None"),
    (((1, 2.5), 24), TypeError, f"{LAYERS}(1, 2.5)"),
    ((3, 24, 0), ValueError, f"{FEATURE_LAYER}0"),
    ((3, 24, 25), ValueError, f"{FEATURE_LAYER}25"),
    ((3, 24, -25), ValueError, f"{FEATURE_LAYER}-25"),
    ((3, 24, [-2, -3]), TypeError, f"{FEATURE_LAYER}[-2, -3]"),
])  # fmt: skip
def test_s6_layers_that_do_not_exist_or_come_too_late(target, arguments, kind, message):
    target.check_refusal(kind, message, "resolve_layers", *arguments)


@pytest.mark.parametrize(("arguments", "kind", "message"), [
    (((2, 4), (2, 4, 5, 3), 1.0), ValueError, "query must have shape (batch, heads, head_dim), got (2, 4)"),
    (((2, 4, 3), (2, 4, 5), 1.0), ValueError,
     "keys must have shape (batch, heads, 1+tokens, head_dim), got (2, 4, 5)"),
    (((2, 4, 3), (1, 4, 5, 3), 1.0), ValueError, "query and keys disagree on batch: 2 and 1"),
    (((2, 4, 3), (2, 2, 5, 3), 1.0), ValueError, "query and keys disagree on heads: 4 and 2"),
    (((2, 4, 3), (2, 4, 5, 6), 1.0), ValueError, "query and keys disagree on head_dim: 3 and 6"),
    (((2, 4, 3), (2, 4, 1, 3), 1.0), ValueError, "keys must hold CLS and at least one patch token, got 1 in all"),
    (((2, 4, 3, "int32"), (2, 4, 5, 3), 1.0), TypeError,
     "query must be an array of floating-point numbers, got int32"),
    (((2, 4, 3), (2, 4, 5, 3, "int32"), 1.0), TypeError,
     "keys must be an array of floating-point numbers, got int32"),
])  # fmt: skip
def test_errors_of_attend(target, arguments, kind, message):
    refused(target, "attend", arguments, kind, message)


@pytest.mark.parametrize(("arguments", "kind", "message"), [
    (((3, 2, 9),), ValueError, "cls_attention must have shape (layers, batch, heads, tokens), got (3, 2, 9)"),
    (((0, 2, 4, 9),), ValueError, "cls_attention must have at least one layer and one head, got shape (0, 2, 4, 9)"),
    (((3, 2, 0, 9),), ValueError, "cls_attention must have at least one layer and one head, got shape (3, 2, 0, 9)"),
    (((*ATTENTION, "int32"),), TypeError, "cls_attention must be an array of floating-point numbers, got int32"),
    (([[1.0]],), TypeError, "cls_attention must be an array of shape (layers, batch, heads, tokens), got list"),
    ((ATTENTION, "avg"), ValueError, f"{REDUCE}'avg'"),
    ((ATTENTION, 3), TypeError, f"{REDUCE}3"),
    ((ATTENTION, None), TypeError, f"{REDUCE}None"),
])  # fmt: skip
def test_errors_of_score(target, arguments, kind, message):
    refused(target, "score", arguments, kind, message)


@pytest.mark.parametrize(("arguments", "kind", "message"), [
    (((9,), 1), ValueError, "scores must have shape (batch, tokens), got (9,)"),
    ((ATTENTION, 1), ValueError, "scores must have shape (batch, tokens), got (3, 2, 4, 9)"),
    (((2, 9, "int32"), 1), TypeError, "scores must be an array of floating-point numbers, got int32"),
])  # fmt: skip
def test_errors_of_select(target, arguments, kind, message):
    refused(target, "select", arguments, kind, message)


@pytest.mark.parametrize(("arguments", "kind", "message"), [
    ((SCORES, (2, 1, "int32")), ValueError, "features must have shape (batch, tokens, dim), got (2, 9)"),
    ((FEATURES, (2, "int32")), ValueError, "indices must have shape (batch, keep), got (2,)"),
    ((FEATURES, (3, 1, "int32")), ValueError, "features and indices disagree on batch: 2 and 3"),
    ((FEATURES, (2, 10, "int32")), ValueError,
     "indices must name at most 9 tokens (the number of patch tokens), got 10"),
    ((FEATURES, (2, 1)), TypeError, "indices must be an array of integers, got float32"),
])  # fmt: skip
def test_errors_of_gather(target, arguments, kind, message):
    refused(target, "gather", arguments, kind, message)


@pytest.mark.parametrize(("arguments", "kind", "message"), [
    (((2, 8, 5), ATTENTION, 3), ValueError, "features and cls_attention disagree on tokens: 8 and 9"),
    (((1, 9, 5), ATTENTION, 3), ValueError, "features and cls_attention disagree on batch: 1 and 2"),
    ((SCORES, ATTENTION, 3), ValueError, "features must have shape (batch, tokens, dim), got (2, 9)"),
    ((FEATURES, (3, 2, 9), 3), ValueError,
     "cls_attention must have shape (layers, batch, heads, tokens), got (3, 2, 9)"),
    ((FEATURES, ATTENTION, 3, "avg"), ValueError, f"{REDUCE}'avg'"),
])  # fmt: skip
def test_errors_of_prune(target, arguments, kind, message):
    refused(target, "prune", arguments, kind, message)


def refused_encoder(target, kind, message, **changed):
    checkpoint = given("checkpoint", checkpoints.make, "square", target.dtypes[0])
    target.check_refusal(
        kind, message, "load_encoder", checkpoint, **({"keep": 3, "layers": 2, "reduce": "sum"} | changed)
    )


@pytest.mark.parametrize(("keep", "kind"), [(17, ValueError), (0, ValueError), (1.5, TypeError)])
def test_s4_keep_of_an_encoder_is_an_integer_from_1_to_tokens(target, keep, kind):
    message = f"keep must be an integer in [1, 16] (the number of patch tokens), got {keep}"
    refused_encoder(target, kind, message, keep=keep)


@pytest.mark.parametrize(("layers", "message"), [
    (5, "layers must be an integer in [1, 4] (the layers up to the feature layer), got 5"),
    ((4,), "layer 4 comes after the feature layer (layer 3 of 5), its attention is not part of the features"),
], ids=str)  # fmt: skip
def test_s6_layers_of_an_encoder_come_before_its_feature_layer(target, layers, message):
    refused_encoder(target, ValueError, message, layers=layers)


def test_errors_of_an_encoder(target):
    refused_encoder(target, ValueError, f"{REDUCE}'avg'", reduce="avg")
