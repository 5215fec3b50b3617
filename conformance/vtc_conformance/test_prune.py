"""`prune` is score, select and gather in a row: every part of it by its own clause."""

import numpy as np
import pytest

from . import compare, inputs
from .repro import apply, array, given, literal, spec
from .target import Target
from .tolerances import TOLERANCES

REDUCES = ("sum", "mean", "max", "min")


def exact(dtype, layers=2, batch=2, tokens=9):
    return (
        given("features", inputs.normal, 0, (batch, tokens, 3), dtype),
        given("cls_attention", inputs.sixtyfourths, 1, (layers, batch, 4, tokens), dtype, 5),
    )


@pytest.mark.parametrize("reduce", REDUCES)
def test_s2_scores_are_those_of_all_tokens(target, dtype, reduce):
    features, cls_attention = exact(dtype)
    _, _, scores = target.prune(features, cls_attention, 3, reduce)
    target.check(compare.equal, scores, spec("score", cls_attention.wide(), reduce))


def test_s2_sum_is_the_default(target, dtype):
    features, cls_attention = exact(dtype, layers=3)
    _, _, scores = target.prune(features, cls_attention, 3)
    target.check(compare.equal, scores, spec("score", cls_attention.wide(), "sum"))


def test_s2_tokens_that_tie_in_16_bits_do_not_tie(target, dtype):
    features = literal("features", [[[1.0], [2.0]]], dtype)
    cls_attention = literal("cls_attention", [[[[2048.0, 2048.0]]], [[[0.0, 1.0]]]], dtype)
    _, _, scores = target.prune(features, cls_attention, 1)
    target.check(compare.equal, scores, array([[2048.0, 2049.0]]))


@pytest.mark.parametrize("keep", [1, 4, 8])
def test_s3_the_highest_scores_are_kept(target, dtype, keep):
    """Of the scores that came with them: whether those are right is S2."""
    _, indices, scores = target.prune(*exact(dtype), keep)
    target.check(compare.equal, indices, spec("select", scores, keep))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("keep", [1, 64, 192, 575])
def test_s3_random_attention_keeps_what_float64_keeps(target, dtype, keep, reduce):
    """Unless two scores at the cut are closer than the tolerance."""
    features = given("features", inputs.normal, 0, (2, 576, 1), dtype)
    cls_attention = given("cls_attention", inputs.softmax_rows, 1, (3, 2, 12, 576), dtype)
    _, indices, _ = target.prune(features, cls_attention, keep, reduce)
    expected = spec("score", cls_attention.wide(), reduce)
    target.check(compare.kept, indices, expected, keep, TOLERANCES[dtype].score)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, -0.0])
def test_s3_special_attention_is_ranked_like_special_scores(target, dtype, special):
    values = np.zeros((1, 1, 1, 5))
    values[..., 1], values[..., 3] = special, 1.0
    features, cls_attention = (
        given("features", inputs.normal, 0, (1, 5, 2), dtype),
        literal("cls_attention", values.tolist(), dtype),
    )
    for keep in range(1, 5):
        _, indices, _ = target.prune(features, cls_attention, keep)
        target.check(compare.equal, indices, spec("select", spec("score", cls_attention.wide()), keep))


def test_s4_keeping_all_tokens_is_the_identity(target, dtype):
    features, cls_attention = exact(dtype)
    kept, indices, _ = target.prune(features, cls_attention, 9)
    target.check(compare.equal, indices, array([list(range(9))] * 2))
    target.check(compare.equal, kept, features)


@pytest.mark.parametrize("keep", [1, 4, 9])
def test_s5_features_are_those_at_the_indices(target, dtype, keep):
    features, cls_attention = exact(dtype)
    kept, indices, _ = target.prune(features, cls_attention, keep)
    target.check(compare.same_bits, kept, apply(inputs.taken, features, indices))


def test_s5_features_keep_their_dtype_whatever_that_of_attention_is(target: Target, dtype):
    features, _ = exact(dtype)
    for other in target.dtypes:
        _, cls_attention = exact(other)
        kept, indices, _ = target.prune(features, cls_attention, 4)
        target.check(compare.same_bits, kept, apply(inputs.taken, features, indices))


def many(dtype):
    return exact(dtype, batch=inputs.LARGE[0], tokens=inputs.LARGE[1])


@pytest.mark.parametrize("reduce", REDUCES)
def test_s2_many_tokens_are_scored(target, dtype, reduce):
    features, cls_attention = many(dtype)
    _, _, scores = target.prune(features, cls_attention, 64, reduce)
    target.check(compare.equal, scores, spec("score", cls_attention.wide(), reduce))


def test_s3_of_many_tokens_the_highest_are_kept(target, dtype):
    _, indices, scores = target.prune(*many(dtype), 64)
    target.check(compare.equal, indices, spec("select", scores, 64))


def test_s5_of_many_tokens_the_features_are_those_at_the_indices(target, dtype):
    features, cls_attention = many(dtype)
    kept, indices, _ = target.prune(features, cls_attention, 64)
    target.check(compare.same_bits, kept, apply(inputs.taken, features, indices))


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_s7_every_batch_size_gives_each_row_what_it_gets_alone(target, dtype, batch):
    features, cls_attention = exact(dtype, batch=batch)
    whole = target.prune(features, cls_attention, 4)
    for part, shape in zip(whole, ((batch, 4, 3), (batch, 4), (batch, 9)), strict=True):
        target.check(compare.has_shape, part, shape)
    for row in range(batch):
        one = slice(row, row + 1)
        for part, of_whole in zip(target.prune(features[one], cls_attention[:, one], 4), whole, strict=True):
            target.check(compare.equal, part[0], of_whole[row])


def test_s9_same_inputs_same_bits(target, dtype):
    features = given("features", inputs.normal, 0, (2, 65, 3), dtype)
    cls_attention = given("cls_attention", inputs.softmax_rows, 1, (3, 2, 12, 65), dtype)
    for first, second in zip(*(target.prune(features, cls_attention, 9) for _ in range(2)), strict=True):
        target.check(compare.same_bits, first, second)
