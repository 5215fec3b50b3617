"""Every refusal: its type and its whole message."""

import re
from typing import Any

import numpy as np
import pytest

import vtc_core
from vtc_core import checks
from vtc_core.methods import Method, VtcCls

ATTENTION, FEATURES, SCORES = np.zeros((3, 2, 4, 9)), np.zeros((2, 9, 5)), np.zeros((2, 9))
KEEP = "keep must be an integer in [1, 9] (the number of patch tokens), got "
REDUCE = "reduce must be one of 'sum', 'mean', 'max', 'min', got "
LAYERS = "layers must be an integer or a sequence of layer numbers, got "
FEATURE_LAYER = (
    "feature_layer must be an integer in [1, 24] or [-24, -1] (a hidden state that one of the 24 layers makes), got "
)

REFUSALS: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("attend", (np.zeros((2, 4)), np.zeros((2, 4, 5, 3)), 1.0), ValueError,
     "query must have shape (batch, heads, head_dim), got (2, 4)"),
    ("attend", (np.zeros((2, 4, 3)), np.zeros((2, 4, 5)), 1.0), ValueError,
     "keys must have shape (batch, heads, 1+tokens, head_dim), got (2, 4, 5)"),
    ("attend", (np.zeros((2, 4, 3)), np.zeros((1, 4, 5, 3)), 1.0), ValueError,
     "query and keys disagree on batch: 2 and 1"),
    ("attend", (np.zeros((2, 4, 3)), np.zeros((2, 2, 5, 3)), 1.0), ValueError,
     "query and keys disagree on heads: 4 and 2"),
    ("attend", (np.zeros((2, 4, 3)), np.zeros((2, 4, 5, 6)), 1.0), ValueError,
     "query and keys disagree on head_dim: 3 and 6"),
    ("attend", (np.zeros((2, 4, 3)), np.zeros((2, 4, 1, 3)), 1.0), ValueError,
     "keys must hold CLS and at least one patch token, got 1 in all"),
    ("attend", (np.zeros((2, 4, 3), int), np.zeros((2, 4, 5, 3)), 1.0), TypeError,
     "query must be an array of floating-point numbers, got int64"),
    ("score", (ATTENTION[0],), ValueError,
     "cls_attention must have shape (layers, batch, heads, tokens), got (2, 4, 9)"),
    ("score", (ATTENTION[:0],), ValueError,
     "cls_attention must have at least one layer and one head, got shape (0, 2, 4, 9)"),
    ("score", (ATTENTION[:, :, :0],), ValueError,
     "cls_attention must have at least one layer and one head, got shape (3, 2, 0, 9)"),
    ("score", (ATTENTION.astype(bool),), TypeError,
     "cls_attention must be an array of floating-point numbers, got bool"),
    ("score", ([[1.0]],), TypeError, "cls_attention must be an array of shape (layers, batch, heads, tokens), got list"),  # noqa: E501
    ("score", (ATTENTION, "avg"), ValueError, REDUCE + "'avg'"),
    ("score", (ATTENTION, 3), TypeError, REDUCE + "3"),
    ("select", (SCORES[0], 1), ValueError, "scores must have shape (batch, tokens), got (9,)"),
    ("select", (SCORES.astype(int), 1), TypeError, "scores must be an array of floating-point numbers, got int64"),
    ("select", (SCORES, 0), ValueError, KEEP + "0"),
    ("select", (SCORES, 10), ValueError, KEEP + "10"),
    ("select", (SCORES, -1), ValueError, KEEP + "-1"),
    ("select", (SCORES, 2.0), TypeError, KEEP + "2.0"),
    ("select", (SCORES, True), TypeError, KEEP + "True"),
    ("select", (SCORES, None), TypeError, KEEP + "None"),
    ("select", (SCORES, np.array(3.0)), TypeError, KEEP + "array(3.)"),
    ("select", (SCORES, np.array([3, 4])), TypeError, KEEP + "array([3, 4])"),
    ("select", (SCORES, "4"), TypeError, KEEP + "'4'"),
    ("select", (np.zeros((2, 0)), 1), ValueError,
     "keep must be an integer in [1, 0] (the number of patch tokens), got 1"),
    ("gather", (SCORES, np.zeros((2, 1), int)), ValueError, "features must have shape (batch, tokens, dim), got (2, 9)"),  # noqa: E501
    ("gather", (FEATURES, np.zeros(2, int)), ValueError, "indices must have shape (batch, keep), got (2,)"),
    ("gather", (FEATURES, np.zeros((3, 1), int)), ValueError, "features and indices disagree on batch: 2 and 3"),
    ("gather", (FEATURES, np.zeros((2, 1))), TypeError, "indices must be an array of integers, got float64"),
    ("gather", (FEATURES, np.zeros((2, 10), int)), ValueError,
     "indices must name at most 9 tokens (the number of patch tokens), got 10"),
    ("prune", (FEATURES[:, :8], ATTENTION, 3), ValueError, "features and cls_attention disagree on tokens: 8 and 9"),
    ("prune", (FEATURES[:1], ATTENTION, 3), ValueError, "features and cls_attention disagree on batch: 1 and 2"),
    ("prune", (FEATURES, ATTENTION, 600), ValueError, KEEP + "600"),
    ("prune", (FEATURES, ATTENTION, 3, "avg"), ValueError, REDUCE + "'avg'"),
    ("resolve_layers", ((23,), 24), ValueError,
     "layer 23 comes after the feature layer (layer 22 of 24), its attention is not part of the features"),
    ("resolve_layers", ((-1, 3), 24), ValueError,
     "layer 23 comes after the feature layer (layer 22 of 24), its attention is not part of the features"),
    ("resolve_layers", (24, 24), ValueError,
     "layers must be an integer in [1, 23] (the layers up to the feature layer), got 24"),
    ("resolve_layers", (0, 24), ValueError,
     "layers must be an integer in [1, 23] (the layers up to the feature layer), got 0"),
    ("resolve_layers", ((), 24), ValueError, "layers must name at least one layer, got an empty sequence"),
    ("resolve_layers", ((24,), 24), ValueError, "layers must be numbers in [-24, 23] (the 24 layers), got 24"),
    ("resolve_layers", ((-25,), 24), ValueError, "layers must be numbers in [-24, 23] (the 24 layers), got -25"),
    ("resolve_layers", ((22, -2), 24), ValueError, "layers must not repeat, got (22, -2), which is (22, 22)"),
    ("resolve_layers", ("3", 24), TypeError, LAYERS + "'3'"),
    ("resolve_layers", (True, 24), TypeError, LAYERS + "True"),
    ("resolve_layers", (2.5, 24), TypeError, LAYERS + "2.5"),
    ("resolve_layers", ((1, 2.5), 24), TypeError, LAYERS + "(1, 2.5)"),
    ("resolve_layers", (3, 24, 0), ValueError, FEATURE_LAYER + "0"),
    ("resolve_layers", (3, 24, 25), ValueError, FEATURE_LAYER + "25"),
    ("resolve_layers", (3, 24, -25), ValueError, FEATURE_LAYER + "-25"),
    ("resolve_layers", (3, 24, [-2, -3]), TypeError, FEATURE_LAYER + "[-2, -3]"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "arguments", "kind", "message"), REFUSALS)
def test_refusal(verb, arguments, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        getattr(vtc_core, verb)(*arguments)


def test_budget_of_unknown_tokens():
    with pytest.raises(ValueError, match=re.escape("keep must be an integer of at least 1, got 0")):
        checks.budget(0)


SETTINGS: dict[str, Any] = {"tokens": 9, "depth": 24, "keep": 3, "method": VtcCls(), "feature_layer": -2}
LOOKS_AT = "method 'odd' must look at layers in [0, 23], ascending, got "


class Odd(Method):
    """Looks at the layers that it is told."""

    name, looks_at, source = "odd", "what it is told", "this test"
    needs = ()

    def __init__(self, *layers):
        self.layers = layers

    def layers_seen(self, depth, feature_layer):
        return self.layers

    def choose(self, v, seen, keep):
        raise AssertionError


SEVERAL = (
    "feature_layer must be integers in [-25, 24] (hidden states, the embeddings first), not the embeddings alone, got "
)


@pytest.mark.parametrize(
    ("setting", "kind", "message"),
    [
        ({"keep": 10}, ValueError, KEEP + "10"),
        ({"method": VtcCls(24)}, ValueError,
         "layers must be an integer in [1, 23] (the layers up to the feature layer), got 24"),
        ({"method": Odd(24)}, ValueError, LOOKS_AT + "(24,)"),
        ({"method": Odd(3, 2)}, ValueError, LOOKS_AT + "(3, 2)"),
        ({"method": Odd(2, 2)}, ValueError, LOOKS_AT + "(2, 2)"),
        ({"method": Odd(-1)}, ValueError, LOOKS_AT + "(-1,)"),
        ({"feature_layer": 0}, ValueError, FEATURE_LAYER + "0"),
        ({"feature_layer": "-2"}, TypeError, FEATURE_LAYER + "'-2'"),
        ({"feature_layer": None}, TypeError, FEATURE_LAYER + "None"),
        ({"feature_layer": ()}, ValueError, SEVERAL + "()"),
        ({"feature_layer": [0, -25]}, ValueError, SEVERAL + "[0, -25]"),
        ({"feature_layer": (-2, 25)}, ValueError, SEVERAL + "(-2, 25)"),
        ({"feature_layer": (-2, -26)}, ValueError, SEVERAL + "(-2, -26)"),
        ({"feature_layer": (-2, 1.5)}, TypeError, SEVERAL + "(-2, 1.5)"),
        ({"feature_layer": (-2, True)}, TypeError, SEVERAL + "(-2, True)"),
        ({"feature_layer": (4, -22), "method": VtcCls(5)}, ValueError,
         "layers must be an integer in [1, 4] (the layers up to the feature layer), got 5"),
    ],
)  # fmt: skip
def test_settings_of_an_encoder(setting, kind, message):
    checks.encoder(**SETTINGS)
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        checks.encoder(**SETTINGS | setting)


def test_feature_layers_are_numbers_of_hidden_states_in_the_given_order():
    assert checks.feature_layers(24, -2) == (23,)
    assert checks.feature_layers(24, 1) == (1,)
    assert checks.feature_layers(24, [-2, -5, -8, -11, 6]) == (23, 20, 17, 14, 6)
    assert checks.feature_layers(24, (0, -1, -25, np.int64(24))) == (0, 24, 0, 24)


def test_before_runs_the_check_first_and_keeps_the_name():
    calls = []

    @checks.before(lambda x: calls.append(("check", x)))
    def verb(x):
        """Says what it does."""
        calls.append(("verb", x))

    verb(1)
    assert calls == [("check", 1), ("verb", 1)]
    assert (verb.__name__, verb.__doc__) == ("verb", "Says what it does.")
