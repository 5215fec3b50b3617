"""S2: mean over heads, then `reduce` over layers, accumulated in float32 at least; S7 and S9 of it."""

import numpy as np
import pytest

from . import compare, inputs
from .inputs import wide
from .repro import apply, array, given, literal, spec
from .tolerances import TOLERANCES

REDUCES = ("sum", "mean", "max", "min")
INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("reduce", "expected"), [("sum", [4.5, 5.5]), ("mean", [2.25, 2.75]), ("max", [3.0, 4.5]), ("min", [1.5, 1.0])]
)
def test_s2_mean_over_heads_then_reduce_over_layers(target, dtype, reduce, expected):
    """layers 2, batch 1, heads 2, tokens 2: the head means are (1.5, 1) and (3, 4.5)."""
    cls_attention = literal("cls_attention", [[[[1.0, 2.0], [2.0, 0.0]]], [[[2.0, 4.0], [4.0, 5.0]]]], dtype)
    target.check(compare.equal, target.call("score", cls_attention, reduce), array([expected]))


def test_s2_sum_is_the_default(target, dtype):
    cls_attention = given("cls_attention", inputs.sixtyfourths, 0, (3, 2, 4, 5), dtype)
    target.check(compare.equal, target.call("score", cls_attention), spec("score", cls_attention.wide(), "sum"))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 2, 8, 9), (2, 1, 1, 33), (4, 5, 2, 7), (8, 3, 16, 1)])
def test_s2_exact_numbers_give_exact_scores(target, dtype, reduce, shape):
    """Layers and heads are powers of two here, so that means are exact as well."""
    cls_attention = given("cls_attention", inputs.sixtyfourths, 0, shape, dtype)
    target.check(
        compare.equal, target.call("score", cls_attention, reduce), spec("score", cls_attention.wide(), reduce)
    )


@pytest.mark.parametrize("reduce", REDUCES)
def test_s2_heads_are_averaged_in_float32_at_least(target, dtype, reduce):
    """(2048 + 1) / 2 is 1024 in 16 bits: there the tokens would tie."""
    cls_attention = literal("cls_attention", [[[[2048.0, 2048.0], [0.0, 1.0]]]], dtype)
    target.check(compare.equal, target.call("score", cls_attention, reduce), array([[1024.0, 1024.5]]))


@pytest.mark.parametrize(("reduce", "expected"), [("sum", [2048.0, 2049.0]), ("mean", [1024.0, 1024.5])])
def test_s2_layers_are_reduced_in_float32_at_least(target, dtype, reduce, expected):
    cls_attention = literal("cls_attention", [[[[2048.0, 2048.0]]], [[[0.0, 1.0]]]], dtype)
    target.check(compare.equal, target.call("score", cls_attention, reduce), array([expected]))


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_s2_float64_stays_float64(target, dtype, reduce):
    """1 + 2**-40 is 1 in float32, where the result is just that."""
    cls_attention = literal("cls_attention", [[[[1.0, 1.0]]], [[[0.0, 2.0**-40]]]], dtype)
    expected = apply(inputs.rounded, spec("score", cls_attention.wide(), reduce), wide(dtype))
    target.check(compare.equal, target.call("score", cls_attention, reduce), expected)


@pytest.mark.parametrize("reduce", REDUCES)
def test_s2_scores_are_float32_at_least(target, dtype, reduce):
    cls_attention = given("cls_attention", inputs.softmax_rows, 0, (2, 2, 2, 5), dtype)
    target.check(compare.has_dtype, target.call("score", cls_attention, reduce), wide(dtype))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("special", [NAN, INF, -INF])
def test_s2_nan_and_inf_reach_the_score_of_their_token(target, dtype, reduce, special):
    values = np.ones((2, 1, 2, 3))
    values[1, 0, 1, 1] = special
    cls_attention = literal("cls_attention", values.tolist(), dtype)
    target.check(
        compare.equal, target.call("score", cls_attention, reduce), spec("score", cls_attention.wide(), reduce)
    )


@pytest.mark.parametrize("reduce", REDUCES)
def test_s2_exact_numbers_give_exact_scores_of_many_tokens(target, dtype, reduce):
    cls_attention = given("cls_attention", inputs.sixtyfourths, 0, (4, inputs.LARGE[0], 2, inputs.LARGE[1]), dtype)
    target.check(
        compare.equal, target.call("score", cls_attention, reduce), spec("score", cls_attention.wide(), reduce)
    )


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("special", [NAN, INF, -INF])
def test_s2_nan_and_inf_reach_the_score_of_their_token_among_many(target, dtype, reduce, special):
    """In all layers, in one, and in one head."""
    shape = (4, inputs.LARGE[0], 2, inputs.LARGE[1])
    cls_attention = apply(inputs.special_tokens, given("x", inputs.sixtyfourths, 0, shape, dtype), special)
    target.check(
        compare.equal, target.call("score", cls_attention, reduce), spec("score", cls_attention.wide(), reduce)
    )


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("shape", [(3, 1, 16, 576), (3, 2, 12, 49), (5, 3, 3, 37), (1, 1, 7, 1)])
def test_s2_random_scores_are_close_to_float64(target, dtype, reduce, shape):
    cls_attention = given("cls_attention", inputs.softmax_rows, 0, shape, dtype)
    expected = spec("score", cls_attention.wide(), reduce)
    target.check(compare.close, target.call("score", cls_attention, reduce), expected, TOLERANCES[dtype].score)


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_s7_every_batch_size_gives_each_row_what_it_gets_alone(target, dtype, batch):
    cls_attention = given("cls_attention", inputs.sixtyfourths, 0, (3, batch, 4, 7), dtype)
    whole = target.call("score", cls_attention)
    target.check(compare.has_shape, whole, (batch, 7))
    for row in range(batch):
        target.check(compare.equal, target.call("score", cls_attention[:, row : row + 1])[0], whole[row])


@pytest.mark.parametrize("reduce", REDUCES)
def test_s7_a_row_does_not_see_the_others(target, dtype, reduce):
    cls_attention = given("cls_attention", inputs.softmax_rows, 0, (3, 3, 4, 7), dtype)
    alone = target.call("score", apply(inputs.only_row, cls_attention, 1, 1), reduce)
    target.check(compare.same_bits, alone[1], target.call("score", cls_attention, reduce)[1])


@pytest.mark.parametrize("reduce", REDUCES)
def test_s7_a_row_of_many_does_not_see_the_others(target, dtype, reduce):
    shape = (3, inputs.LARGE[0], 2, inputs.LARGE[1])
    cls_attention = given("cls_attention", inputs.softmax_rows, 0, shape, dtype)
    alone = target.call("score", apply(inputs.only_row, cls_attention, 1, 1), reduce)
    target.check(compare.same_bits, alone[1], target.call("score", cls_attention, reduce)[1])


@pytest.mark.parametrize("reduce", REDUCES)
def test_s9_same_inputs_same_bits(target, dtype, reduce):
    cls_attention = given("cls_attention", inputs.softmax_rows, 0, (3, 2, 12, 65), dtype)
    first, second = (target.call("score", cls_attention, reduce) for _ in range(2))
    target.check(compare.same_bits, first, second)
