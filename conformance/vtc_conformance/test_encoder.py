"""The encoder group: pixels in, `Pruned` out, against an independent float64 encoder on the same checkpoint.

S8: the features are those of the unpruned encoder at the kept indices. Applies to backends with `load_encoder`.
"""

import pytest

from . import checkpoints, compare, inputs, oracle
from .repro import apply, array, given, spec
from .target import Target
from .tolerances import TOLERANCES

GEOMETRIES = list(checkpoints.GEOMETRIES)


def setting(geometry, dtype, batch=2):
    return (
        given("checkpoint", checkpoints.make, geometry, dtype),
        given("pixels", checkpoints.pixels, 0, geometry, batch, dtype),
    )


def check_scores(target: Target, checkpoint, pixels, layers, reduce="sum"):
    _, _, scores = target.encode(checkpoint, pixels, keep=3, layers=layers, reduce=reduce)
    expected = apply(oracle.scores, checkpoint, pixels, layers, reduce)
    target.check(compare.close, scores, expected, TOLERANCES[target.dtype].encoder_score)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_s1_scores_are_the_attention_of_cls(target, dtype, geometry):
    check_scores(target, *setting(geometry, dtype), layers=(0,))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_s2_layers_are_reduced(target, dtype, reduce):
    check_scores(target, *setting("square", dtype), layers=(0, 1, 2), reduce=reduce)


@pytest.mark.parametrize("keep", [1, 10])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_s3_the_highest_scores_are_kept_in_raster_order(target, dtype, geometry, keep):
    """Of the scores that came with them: whether those are right is S1, S2 and S6."""
    _, indices, scores = target.encode(*setting(geometry, dtype), keep=keep, layers=2, reduce="sum")
    target.check(compare.equal, indices, spec("select", scores, keep))


def test_s4_keeping_all_tokens_is_the_identity(target, dtype):
    _, indices, _ = target.encode(*setting("square", dtype), keep=16, layers=3, reduce="sum")
    target.check(compare.equal, indices, array([list(range(16))] * 2))


@pytest.mark.parametrize("layers", [1, 2, 4, (0,), (1, 3), [-2, 0], (0, 1, 2, 3)], ids=str)
def test_s6_layers_are_counted_up_to_the_feature_layer(target, dtype, layers):
    """Of 5 layers, 0 to 4, layer 3 makes the features and layer 4 is not run."""
    check_scores(target, *setting("square", dtype), layers=layers)


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_s7_every_batch_size_gives_each_picture_what_it_gets_alone(target, dtype, batch):
    checkpoint, pixels = setting("odd", dtype, batch)
    _, _, whole = target.encode(checkpoint, pixels, keep=5, layers=(0, 1), reduce="sum")
    target.check(compare.has_shape, whole, (batch, 25))
    for row in range(batch):
        _, _, alone = target.encode(checkpoint, pixels[row : row + 1], keep=5, layers=(0, 1), reduce="sum")
        target.check(compare.close, alone[0], whole[row], TOLERANCES[dtype].encoder_score)


def test_s7_a_picture_does_not_see_the_others(target, dtype):
    """With the same picture at its side, or with NaN."""
    checkpoint, pixels = setting("square", dtype, 3)
    settings = {"keep": 5, "layers": 2, "reduce": "sum"}
    alone = target.encode(checkpoint, apply(inputs.only_row, pixels, 1, 0), **settings)
    for part, beside in zip(alone, target.encode(checkpoint, pixels, **settings), strict=True):
        target.check(compare.same_bits, part[1], beside[1])


@pytest.mark.parametrize("keep", [1, 4, 9])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_s8_kept_features_are_those_of_the_unpruned_encoder(target, dtype, geometry, keep):
    checkpoint, pixels = setting(geometry, dtype)
    features, indices, _ = target.encode(checkpoint, pixels, keep=keep, layers=2, reduce="sum")
    expected = apply(oracle.features, checkpoint, pixels, indices)
    target.check(compare.close_to_largest, features, expected, TOLERANCES[dtype].encoder_features)


@pytest.mark.parametrize("reduce", ["sum", "min"])
def test_s2_many_pictures_of_24x24_patches_are_scored(target, dtype, reduce):
    """2,304 tokens in a call."""
    check_scores(target, *setting("24x24", dtype, 4), layers=2, reduce=reduce)


def test_s8_many_pictures_of_24x24_patches_keep_their_unpruned_features(target, dtype):
    checkpoint, pixels = setting("24x24", dtype, 4)
    features, indices, _ = target.encode(checkpoint, pixels, keep=9, layers=2, reduce="sum")
    expected = apply(oracle.features, checkpoint, pixels, indices)
    target.check(compare.close_to_largest, features, expected, TOLERANCES[dtype].encoder_features)


@pytest.mark.parametrize("layers", [(0,), (0, 2)], ids=str)
def test_s8_features_are_exact_whichever_layers_score(target, dtype, layers):
    checkpoint, pixels = setting("square", dtype)
    features, indices, _ = target.encode(checkpoint, pixels, keep=6, layers=layers, reduce="sum")
    expected = apply(oracle.features, checkpoint, pixels, indices)
    target.check(compare.close_to_largest, features, expected, TOLERANCES[dtype].encoder_features)


def test_s9_same_inputs_same_bits(target, dtype):
    checkpoint, pixels = setting("odd", dtype)
    twice = [target.encode(checkpoint, pixels, keep=7, layers=2, reduce="sum") for _ in range(2)]
    for first, second in zip(*twice, strict=True):
        target.check(compare.same_bits, first, second)
