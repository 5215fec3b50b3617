"""S1: one row of softmax attention, CLS against CLS and all patches; S7 and S9 of it."""

import pytest

from . import compare, inputs
from .inputs import wide
from .repro import apply, array, given, literal, spec
from .tolerances import TOLERANCES


def close_to_the_specification(target, query, keys, scale):
    expected = spec("attend", query.wide(), keys.wide(), scale)
    target.check(compare.close, target.call("attend", query, keys, scale), expected, TOLERANCES[target.dtype].attention)


@pytest.mark.parametrize("tokens", [1, 3, 7, 15, 63])
def test_s1_cls_takes_its_share_and_the_rest_is_not_renormalised(target, dtype, tokens):
    """All logits equal: 1 / (1 + tokens) each, exactly."""
    query, keys = (
        given("query", inputs.zeros, (1, 1, 2), dtype),
        given("keys", inputs.normal, 0, (1, 1, 1 + tokens, 2), dtype),
    )
    target.check(compare.equal, target.call("attend", query, keys, 1.0), array([[[1 / (1 + tokens)] * tokens]]))


def test_s1_the_first_key_is_cls_and_is_dropped(target, dtype):
    """Logits 1000, 0, 0 and 0, 1000, 0: all the weight goes to CLS, then to the first patch."""
    query = literal("query", [[[1.0]], [[1.0]]], dtype)
    keys = literal("keys", [[[[1000.0], [0.0], [0.0]]], [[[0.0], [1000.0], [0.0]]]], dtype)
    target.check(compare.equal, target.call("attend", query, keys, 1.0), array([[[0.0, 0.0]], [[1.0, 0.0]]]))


@pytest.mark.parametrize("scale", [0.0, 0.125, 0.3, 1.0, 2.0])
def test_s1_logits_are_scaled(target, dtype, scale):
    query = given("query", inputs.sixtyfourths, 0, (2, 2, 3), dtype, 64)
    keys = given("keys", inputs.sixtyfourths, 1, (2, 2, 5, 3), dtype, 64)
    close_to_the_specification(target, query, keys, scale)


def test_s1_large_logits_do_not_overflow(target, dtype):
    """Logits of 11 x 300 x 300 are inf in float16, exp of them in every dtype."""
    query, keys = literal("query", [[[300.0] * 11]], dtype), literal("keys", [[[[300.0] * 11] * 4]], dtype)
    target.check(compare.equal, target.call("attend", query, keys, 1.0), array([[[0.25] * 3]]))


@pytest.mark.parametrize("sign", [1, -1])
def test_s1_logits_are_float32_at_least(target, dtype, sign):
    """2048 + 1 is 2048 in 16 bits: there both patches would get the same weight."""
    query, keys = (
        literal("query", [[[sign, 1.0]]], dtype),
        literal("keys", [[[[2048, 0], [2048, 0], [2048, 1]]]], dtype),
    )
    close_to_the_specification(target, query, keys, 1.0)


def test_s1_weights_are_float32_at_least(target, dtype):
    query, keys = (
        given("query", inputs.normal, 0, (2, 2, 4), dtype),
        given("keys", inputs.normal, 1, (2, 2, 6, 4), dtype),
    )
    target.check(compare.has_dtype, target.call("attend", query, keys, 0.5), wide(dtype))


@pytest.mark.parametrize(
    ("batch", "heads", "tokens", "head_dim"),
    [(1, 1, 1, 1), (2, 3, 5, 8), (5, 12, 37, 64), (1, 16, 576, 64), (3, 2, 33, 7)],
)
def test_s1_random_attention_is_close_to_float64(target, dtype, batch, heads, tokens, head_dim):
    query = given("query", inputs.normal, 0, (batch, heads, head_dim), dtype)
    keys = given("keys", inputs.normal, 1, (batch, heads, 1 + tokens, head_dim), dtype)
    close_to_the_specification(target, query, keys, 2 * head_dim**-0.5)


def test_s1_many_rows_of_many_tokens_are_close_to_float64(target, dtype):
    batch, tokens = inputs.LARGE
    query = given("query", inputs.normal, 0, (batch, 2, 8), dtype)
    keys = given("keys", inputs.normal, 1, (batch, 2, 1 + tokens, 8), dtype)
    close_to_the_specification(target, query, keys, 0.5)


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_s7_every_batch_size_gives_each_row_what_it_gets_alone(target, dtype, batch):
    """Within the tolerance: a matrix product may be summed in another order for another size."""
    query, keys = (
        given("query", inputs.normal, 0, (batch, 2, 4), dtype),
        given("keys", inputs.normal, 1, (batch, 2, 6, 4), dtype),
    )
    whole = target.call("attend", query, keys, 0.5)
    target.check(compare.has_shape, whole, (batch, 2, 5))
    for row in range(batch):
        alone = target.call("attend", query[row : row + 1], keys[row : row + 1], 0.5)
        target.check(compare.close, alone[0], whole[row], TOLERANCES[dtype].attention)


def test_s7_a_row_does_not_see_the_others(target, dtype):
    """Row 1 between rows of numbers and between rows of NaN: the same bits."""
    query, keys = (
        given("query", inputs.normal, 0, (3, 2, 4), dtype),
        given("keys", inputs.normal, 1, (3, 2, 6, 4), dtype),
    )
    poisoned = apply(inputs.only_row, keys, 1, 0)
    alone = target.call("attend", query, poisoned, 0.5)
    target.check(compare.same_bits, alone[1], target.call("attend", query, keys, 0.5)[1])


def test_s7_a_row_of_many_does_not_see_the_others(target, dtype):
    batch, tokens = inputs.LARGE
    query = given("query", inputs.normal, 0, (batch, 2, 8), dtype)
    keys = given("keys", inputs.normal, 1, (batch, 2, 1 + tokens, 8), dtype)
    alone = target.call("attend", query, apply(inputs.only_row, keys, 1, 0), 0.5)
    target.check(compare.same_bits, alone[1], target.call("attend", query, keys, 0.5)[1])


def test_s9_same_inputs_same_bits(target, dtype):
    query, keys = (
        given("query", inputs.normal, 0, (2, 4, 32), dtype),
        given("keys", inputs.normal, 1, (2, 4, 65, 32), dtype),
    )
    first, second = (target.call("attend", query, keys, 0.25) for _ in range(2))
    target.check(compare.same_bits, first, second)
