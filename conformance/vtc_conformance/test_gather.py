"""S5: a copy of the kept tokens, bit for bit, in the dtype of `features`; S7 and S9 of it."""

import pytest

from . import compare, inputs
from .repro import apply, given, literal

TOKENS = [[0, 2, 5], [1, 2, 3]]


@pytest.mark.parametrize("dim", [1, 3, 64])
def test_s5_kept_tokens_are_copied_bit_for_bit(target, dtype, dim):
    features, indices = given("features", inputs.normal, 0, (2, 6, dim), dtype), literal("indices", TOKENS, "int32")
    target.check(compare.same_bits, target.call("gather", features, indices), apply(inputs.taken, features, indices))


def test_s5_inf_minus_zero_and_subnormals_are_copied_bit_for_bit(target, dtype):
    """The sign bit alone, infinity, and the smallest numbers."""
    sign = 1 << 8 * inputs.BITS[dtype]().itemsize - 1
    inf = int(inputs.array([float("inf")], dtype).view(inputs.BITS[dtype])[0])
    features = given("features", inputs.bits, [[[0], [sign], [inf], [sign | inf], [1], [sign | 2]]], dtype)
    indices = literal("indices", [[1, 2, 3, 4, 5]], "int32")
    target.check(compare.same_bits, target.call("gather", features, indices), apply(inputs.taken, features, indices))


def test_s5_nan_payloads_are_copied_bit_for_bit(target, dtype):
    nan = int(inputs.array([float("nan")], dtype).view(inputs.BITS[dtype])[0])
    sign = 1 << 8 * inputs.BITS[dtype]().itemsize - 1
    features = given("features", inputs.bits, [[[nan], [nan + 1], [nan | sign]]], dtype)
    indices = literal("indices", [[1, 2]], "int32")
    target.check(compare.same_bits, target.call("gather", features, indices), apply(inputs.taken, features, indices))


def test_s5_tokens_come_in_the_order_of_the_indices(target, dtype):
    features = given("features", inputs.normal, 0, (1, 4, 2), dtype)
    indices = literal("indices", [[3, 0, 3]], "int32")
    target.check(compare.same_bits, target.call("gather", features, indices), apply(inputs.taken, features, indices))


def test_s5_all_tokens_are_the_features(target, dtype):
    features = given("features", inputs.normal, 0, (2, 5, 3), dtype)
    indices = literal("indices", [[0, 1, 2, 3, 4]] * 2, "int32")
    target.check(compare.same_bits, target.call("gather", features, indices), features)


@pytest.mark.parametrize("keep", [1, 64, 577])
def test_s5_tokens_of_many_are_copied_bit_for_bit(target, dtype, keep):
    features = given("features", inputs.normal, 0, (*inputs.LARGE, 5), dtype)
    indices = given("indices", inputs.some_tokens, 1, inputs.LARGE, keep)
    target.check(compare.same_bits, target.call("gather", features, indices), apply(inputs.taken, features, indices))


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_s7_every_batch_size_gives_each_row_what_it_gets_alone(target, dtype, batch):
    features, indices = (
        given("features", inputs.normal, 0, (batch, 6, 3), dtype),
        given("indices", inputs.some_tokens, 1, (batch, 6), 4),
    )
    whole = target.call("gather", features, indices)
    target.check(compare.has_shape, whole, (batch, 4, 3))
    for row in range(batch):
        one = slice(row, row + 1)
        target.check(compare.same_bits, target.call("gather", features[one], indices[one])[0], whole[row])


def test_s9_same_inputs_same_bits(target, dtype):
    features, indices = given("features", inputs.normal, 0, (2, 6, 3), dtype), literal("indices", TOKENS, "int32")
    first, second = (target.call("gather", features, indices) for _ in range(2))
    target.check(compare.same_bits, first, second)
