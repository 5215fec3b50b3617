"""S3: the `keep` highest scores in raster order, by a total order; S4: which `keep`; S7 and S9 of it."""

import numpy as np
import pytest

from . import compare, inputs
from .repro import apply, array, given, literal, spec

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("scores", "keep", "kept"),
    [([0.25, 0.75, 0.5, 0.625], 2, [1, 3]), ([0.5, 0.25, 1.0], 2, [0, 2]), ([3, 2, 1], 2, [0, 1])],
)
def test_s3_the_highest_are_kept_in_raster_order(target, dtype, scores, keep, kept):
    target.check(compare.equal, target.call("select", literal("scores", [scores], dtype), keep), array([kept]))


def test_s3_indices_are_integers(target, dtype):
    scores = given("scores", inputs.sixtyfourths, 0, (2, 7), dtype)
    target.check(compare.is_integer, target.call("select", scores, 3))


@pytest.mark.parametrize("keep", range(1, 8))
def test_s3_ties_go_to_the_lower_index(target, dtype, keep):
    """Every row of eight zeros and ones."""
    scores = given("scores", inputs.every_row, (0.0, 1.0), 8, dtype)
    target.check(compare.equal, target.call("select", scores, keep), spec("select", scores.wide(), keep))


@pytest.mark.parametrize("tokens", [17, 33, 64, 576, 1025, 2305])
def test_s3_ties_go_to_the_lower_index_in_long_rows(target, dtype, tokens):
    """Sorts change their algorithm with the length, and some lose their stability there."""
    for keep in (1, tokens // 3, tokens - 1):
        level = given("scores", inputs.zeros, (1, tokens), dtype)
        target.check(compare.equal, target.call("select", level, keep), array([list(range(keep))]))
        steps = given("scores", inputs.sixtyfourths, tokens, (2, tokens), dtype, 3)
        target.check(compare.equal, target.call("select", steps, keep), spec("select", steps.wide(), keep))


@pytest.mark.parametrize("keep", range(1, 4))
def test_s3_minus_zero_equals_zero(target, dtype, keep):
    scores = given("scores", inputs.every_row, (-0.0, 0.0), 4, dtype)
    target.check(compare.equal, target.call("select", scores, keep), spec("select", scores.wide(), keep))


@pytest.mark.parametrize("keep", range(1, 4))
def test_s3_inf_is_first(target, dtype, keep):
    scores = given("scores", inputs.every_row, (-1.0, 1.0, INF), 4, dtype)
    target.check(compare.equal, target.call("select", scores, keep), spec("select", scores.wide(), keep))


@pytest.mark.parametrize("keep", range(1, 4))
def test_s3_nan_is_last_even_after_minus_inf(target, dtype, keep):
    scores = given("scores", inputs.every_row, (NAN, -INF, 0.0, INF), 4, dtype)
    target.check(compare.equal, target.call("select", scores, keep), spec("select", scores.wide(), keep))


@pytest.mark.parametrize("keep", range(1, 5))
def test_s3_all_nan_are_equal_whatever_their_sign_and_payload(target, dtype, keep):
    quiet = {"float16": 0x7E00, "bfloat16": 0x7FC0, "float32": 0x7FC00000, "float64": 0x7FF8000000000000}[dtype]
    negative = quiet | 1 << 8 * inputs.BITS[dtype]().itemsize - 1
    scores = given("scores", inputs.bits, [[negative, 0, quiet, quiet + 1, negative + 2]], dtype)
    target.check(compare.equal, target.call("select", scores, keep), array([sorted([1, 0, 2, 3, 4][:keep])]))


@pytest.mark.parametrize("keep", [1, 2])
def test_s3_neighbouring_numbers_do_not_tie(target, dtype, keep):
    """One and its two neighbours, and the three smallest subnormals."""
    one = int(inputs.array([1.0], dtype).view(inputs.BITS[dtype])[0])
    scores = given("scores", inputs.bits, [[one - 1, one, one + 1], [1, 2, 3]], dtype)
    target.check(compare.equal, target.call("select", scores, keep), spec("select", scores.wide(), keep))


@pytest.mark.parametrize("keep", [1, 64, 192, 575])
def test_s3_the_highest_of_many(target, dtype, keep):
    scores = given("scores", inputs.softmax_rows, 0, (2, 576), dtype)
    target.check(compare.equal, target.call("select", scores, keep), spec("select", scores.wide(), keep))


@pytest.mark.parametrize("keep", [1, 64, 576])
def test_s3_every_value_has_its_rank_in_many_rows(target, dtype, keep):
    """Ties, NaN, infinities and zeros of both signs, all over large arrays."""
    scores = apply(inputs.special_scores, given("x", inputs.sixtyfourths, 0, inputs.LARGE, dtype, 7))
    target.check(compare.equal, target.call("select", scores, keep), spec("select", scores.wide(), keep))


def test_s4_keeping_all_of_many_is_the_identity(target, dtype):
    scores = apply(inputs.special_scores, given("x", inputs.sixtyfourths, 0, inputs.LARGE, dtype, 7))
    batch, tokens = inputs.LARGE
    target.check(compare.equal, target.call("select", scores, tokens), apply(inputs.all_tokens, batch, tokens))


@pytest.mark.parametrize("tokens", [1, 2, 9, 576])
def test_s4_keeping_all_tokens_is_the_identity(target, dtype, tokens):
    for scores in (
        given("scores", inputs.softmax_rows, 0, (2, tokens), dtype),
        literal("scores", [[(NAN, 0.0, -0.0, INF)[i % 4] for i in range(tokens)]] * 2, dtype),
    ):
        target.check(compare.equal, target.call("select", scores, tokens), array([list(range(tokens))] * 2))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
def test_s4_keep_may_be_an_integer_of_numpy(target, dtype, kind):
    scores = given("scores", inputs.sixtyfourths, 0, (2, 7), dtype)
    target.check(compare.equal, target.call("select", scores, kind(3)), target.call("select", scores, 3))


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_s7_every_batch_size_gives_each_row_what_it_gets_alone(target, dtype, batch):
    scores = given("scores", inputs.sixtyfourths, 0, (batch, 9), dtype, 5)
    whole = target.call("select", scores, 4)
    target.check(compare.has_shape, whole, (batch, 4))
    for row in range(batch):
        target.check(compare.equal, target.call("select", scores[row : row + 1], 4)[0], whole[row])


def test_s9_same_inputs_same_bits(target, dtype):
    scores = given("scores", inputs.sixtyfourths, 0, (2, 577), dtype, 5)
    first, second = (target.call("select", scores, 64) for _ in range(2))
    target.check(compare.same_bits, first, second)
