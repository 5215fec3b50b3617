"""What holds for all inputs (hypothesis): numbers that are exact and tie often. The same examples at each run."""

import numpy as np
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from . import compare, inputs
from .repro import apply, array, given, literal, spec

EXAMPLES = settings(max_examples=25, deadline=None, derandomize=True, database=None)
SHAPES = st.tuples(st.sampled_from([1, 2, 5]), st.sampled_from([1, 2, 7, 16]))  # few: a backend may compile for each
EXACT = st.integers(0, 6).map(lambda x: x / 64)
ANY = st.one_of(EXACT, st.sampled_from([np.nan, -np.inf, -1.0, -0.0, np.inf]))


def table(letters, batch, tokens):
    row = st.lists(letters, min_size=tokens, max_size=tokens)
    return st.lists(row, min_size=batch, max_size=batch)


@st.composite
def scores_and_keep(draw, letters=ANY):
    batch, tokens = draw(SHAPES)
    return draw(table(letters, batch, tokens)), draw(st.integers(1, tokens))


@st.composite
def attention(draw, layers=2, heads=4):
    batch, tokens = draw(SHAPES)
    flat = draw(table(EXACT, layers * batch * heads, tokens))
    return np.reshape(flat, (layers, batch, heads, tokens)).tolist()


def dtypes(target):
    return st.sampled_from(target.dtypes)


@EXAMPLES
@for_all(data=st.data(), example=scores_and_keep())
def test_s3_selects_what_the_specification_selects(target, data, example):
    scores = literal("scores", example[0], data.draw(dtypes(target)))
    target.check(compare.equal, target.call("select", scores, example[1]), spec("select", scores.wide(), example[1]))


@EXAMPLES
@for_all(data=st.data(), example=scores_and_keep())
def test_s3_one_token_is_the_first_of_the_highest(target, data, example):
    scores = literal("scores", example[0], data.draw(dtypes(target)))
    target.check(compare.equal, target.call("select", scores, 1), apply(inputs.first_of_the_highest, scores))


@EXAMPLES
@for_all(data=st.data(), example=scores_and_keep())
def test_s3_a_larger_budget_keeps_all_that_a_smaller_one_kept(target, data, example):
    scores = literal("scores", example[0], data.draw(dtypes(target)))
    keep = max(1, example[1] - 1)
    target.check(compare.contains, target.call("select", scores, example[1]), target.call("select", scores, keep))


@EXAMPLES
@for_all(data=st.data(), example=scores_and_keep())
def test_s3_selecting_from_the_selected_changes_nothing(target, data, example):
    """To keep fewer, it does not matter whether some were dropped before."""
    scores, keep = literal("scores", example[0], data.draw(dtypes(target))), example[1]
    fewer = data.draw(st.integers(1, keep))
    kept = target.call("select", scores, keep)
    again = target.call("select", taken_along(scores, kept), fewer)
    target.check(compare.equal, taken_along(kept, again), target.call("select", scores, fewer))


def taken_along(x, indices):
    return apply(np.take_along_axis, x, indices, 1, name="np.take_along_axis")


@EXAMPLES
@for_all(data=st.data(), example=scores_and_keep())
def test_s4_keeping_all_tokens_is_the_identity(target, data, example):
    scores = literal("scores", example[0], data.draw(dtypes(target)))
    batch, tokens = scores.it.shape
    target.check(compare.equal, target.call("select", scores, tokens), array([list(range(tokens))] * batch))


@EXAMPLES
@for_all(data=st.data(), example=scores_and_keep())
def test_s7_reordered_rows_give_reordered_results(target, data, example):
    scores = literal("scores", example[0], data.draw(dtypes(target)))
    order = data.draw(st.permutations(range(len(example[0]))))
    reordered = target.call("select", scores[order], example[1])
    target.check(compare.equal, reordered, target.call("select", scores, example[1])[order])


@EXAMPLES
@for_all(data=st.data(), values=attention(), reduce=st.sampled_from(["sum", "mean", "max", "min"]))
def test_s2_the_order_of_heads_and_layers_does_not_matter(target, data, values, reduce):
    cls_attention = literal("cls_attention", values, data.draw(dtypes(target)))
    layers, heads = data.draw(st.permutations(range(2))), data.draw(st.permutations(range(4)))
    reordered = target.call("score", cls_attention[layers][:, :, heads], reduce)
    target.check(compare.equal, reordered, target.call("score", cls_attention, reduce))


@EXAMPLES
@for_all(data=st.data(), values=attention())
def test_s5_pruned_features_are_those_at_the_indices(target, data, values):
    dtype = data.draw(dtypes(target))
    cls_attention = literal("cls_attention", values, dtype)
    _, batch, _, tokens = cls_attention.it.shape
    features = given("features", inputs.normal, 0, (batch, tokens, 2), dtype)
    kept, indices, _ = target.prune(features, cls_attention, data.draw(st.integers(1, tokens)))
    target.check(compare.same_bits, kept, apply(inputs.taken, features, indices))
