"""What every method of the catalogue feeds in the torch encoder."""

import numpy as np
import pytest
import torch
from small_models import make_siglip, make_tower, pixels
from torch import nn

import vtc_torch
from vtc_core.methods import METHODS, copied
from vtc_core.methods.method import OF_CLS
from vtc_torch import PrunedEncoder, gather

from .eager import FEATURE_TOLERANCE, check_rows, eager_of
from .walked import WALKED, encoder_of

SELECTIONS = [name for name in WALKED if not METHODS[name].merges]
MERGES = [name for name in WALKED if METHODS[name].merges]


def projected(encoder: PrunedEncoder, features: torch.Tensor) -> torch.Tensor:
    return features if encoder.projector is None else encoder.projector(features)


@pytest.mark.parametrize("keep", [1, 7, 36])
@pytest.mark.parametrize("name", SELECTIONS)
def test_s8_a_selection_feeds_the_unpruned_features(name, keep):
    encoder = encoder_of(name, keep)
    with torch.inference_mode():
        pruned = encoder(pixels(encoder.tower))
        whole = eager_of(encoder.tower, pixels(encoder.tower)).features(-2)[:, 1:]
        expected = projected(encoder, gather(whole, pruned.indices))
    torch.testing.assert_close(pruned.features, expected, rtol=0, atol=FEATURE_TOLERANCE)
    assert pruned.indices.shape == (2, keep)
    assert all(len(set(row)) == keep and min(row) >= 0 and max(row) < 36 for row in pruned.indices.tolist())
    if keep == 36:
        assert torch.equal(pruned.indices.sort().values, torch.arange(36).expand(2, -1))


@pytest.mark.parametrize("keep", [1, 7, 36])
@pytest.mark.parametrize("name", MERGES)
def test_s8_a_merge_feeds_copies_bit_for_bit_and_mixtures_by_its_weights(name, keep):
    encoder = encoder_of(name, keep)
    with torch.inference_mode():
        looked = encoder.look(pixels(encoder.tower))
        choice = looked.choose(keep)
        fed = looked.feed(choice)
        if not encoder.method.merges_projected:
            assert torch.equal(encoder(pixels(encoder.tower)).features, projected(encoder, fed))
    seen = looked.seen
    features = seen.projected if encoder.method.merges_projected else seen.features
    assert features is not None
    cls = None if seen.cls_feature is None else seen.cls_feature[:, 0]
    cls = looked.finish(torch.full((2, 1), -1))[:, 0] if encoder.method.feeds_cls else cls
    assert choice.weights is not None
    assert fed.shape[:2] == choice.indices.shape == (2, keep)
    for row in range(2):
        for k, index in enumerate(choice.indices[row].tolist()):
            weights = choice.weights[row, k]
            if index == -1 and not weights.any() and cls is not None:
                assert torch.equal(fed[row, k], cls[row])
            elif index >= 0 and weights.count_nonzero() == 1 and weights[index] == 1:
                assert torch.equal(fed[row, k], features[row, index])
            else:
                mixed = weights.double().numpy() @ features[row].double().numpy()
                np.testing.assert_allclose(fed[row, k], mixed, rtol=1e-4, atol=1e-5)
    assert copied(choice).shape == (2, keep)


@pytest.mark.parametrize("name", WALKED)
def test_s7_rows_are_independent_and_an_empty_batch_works(name):
    check_rows(PrunedEncoder(make_tower(), 7, METHODS[name](), projector=nn.Identity()))


@pytest.mark.parametrize("name", [name for name in WALKED if not set(OF_CLS) & set(METHODS[name].needs)])
def test_a_method_that_does_without_cls_works_without(name):
    check_rows(PrunedEncoder(make_siglip(), 7, METHODS[name](), projector=nn.Identity()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", WALKED)
def test_sixteen_bits_stay_sixteen_bits(name, dtype):
    tower = make_tower().to(dtype)
    pruned = PrunedEncoder(tower, 7, METHODS[name](), projector=nn.Identity())(pixels(tower).to(dtype))
    assert (pruned.features.dtype, pruned.scores.dtype) == (dtype, torch.float32)
    assert pruned.features.isfinite().all()


def test_the_choice_is_the_methods_on_what_was_seen():
    encoder = PrunedEncoder(make_tower(), 7)
    with torch.inference_mode():
        looked = encoder.look(pixels(encoder.tower))
        assert torch.equal(looked.choose(7).indices, encoder.method.choose(vtc_torch, looked.seen, 7).indices)
        assert torch.equal(encoder.choose(pixels(encoder.tower)).indices, encoder(pixels(encoder.tower)).indices)
