"""The protocol: arrays go in and out unchanged, arguments are called what the specification calls them."""

import pytest

from . import compare, inputs
from .repro import given

VERBS = {  # the arguments of a verb, and the shape of what it makes of those below
    "attend": (("query", "keys", "scale"), (2, 1, 7)),
    "score": (("cls_attention", "reduce"), (2, 7)),
    "select": (("scores", "keep"), (2, 3)),
    "gather": (("features", "indices"), (2, 3, 3)),
}
PRUNE, PARTS = ("features", "cls_attention", "keep", "reduce"), ((2, 3, 3), (2, 3), (2, 7))


def test_protocol_arrays_go_in_and_out_bit_for_bit(target, dtype):
    array = given("array", inputs.normal, 0, (3, 1, 5), dtype)
    target.check(compare.same_bits, target.round_trip(array), array)


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3)])
def test_protocol_int32_arrays_go_in(target, shape):
    array = given("array", inputs.zeros, shape, "int32")
    target.check(compare.equal, target.round_trip(array), array)


def test_protocol_arguments_have_the_names_of_the_specification(target, dtype):
    named = {
        "query": given("query", inputs.zeros, (2, 1, 4), dtype),
        "keys": given("keys", inputs.zeros, (2, 1, 8, 4), dtype),
        "scale": 0.5,
        "cls_attention": given("cls_attention", inputs.zeros, (2, 2, 4, 7), dtype),
        "reduce": "max",
        "scores": given("scores", inputs.zeros, (2, 7), dtype),
        "keep": 3,
        "features": given("features", inputs.zeros, (2, 7, 3), dtype),
        "indices": given("indices", inputs.array, [[0, 3, 4], [1, 2, 6]], "int32"),
    }
    for verb, (names, shape) in VERBS.items():
        target.check(compare.has_shape, target.call(verb, **{name: named[name] for name in names}), shape)
    for part, shape in zip(target.prune(**{name: named[name] for name in PRUNE}), PARTS, strict=True):
        target.check(compare.has_shape, part, shape)


def test_protocol_prune_returns_a_named_tuple(target, dtype):
    features = given("features", inputs.zeros, (2, 7, 3), dtype)
    cls_attention = given("cls_attention", inputs.zeros, (2, 2, 4, 7), dtype)
    target.check(compare.has_fields, target.raw("prune", features, cls_attention, 3), ("features", "indices", "scores"))
