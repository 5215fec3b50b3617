"""`choose`: a caller's own choice of tokens, made of what the method sees, in the caller's own order."""

import pytest
import torch
from small_models import make_siglip, make_tower, pixels

import vtc_torch
from vtc_core.methods import Choice, FeatureNorm, Received, VtcCls
from vtc_torch import PrunedEncoder, gather

from .eager import FEATURE_TOLERANCE
from .seeing import Sees


def chosen(indices, weights=None):
    """A choice of these indices, whatever is seen."""
    return lambda seen: Choice(indices, torch.zeros(seen.tile.shape), weights)


def whole(tower, pixel_values, feature_layer=-2):
    first = int(hasattr(tower.embeddings, "class_embedding"))
    return tower(pixel_values, output_hidden_states=True).hidden_states[feature_layer][:, first:]


@pytest.mark.parametrize("kept", [1, 5, 36])
@pytest.mark.parametrize("method", [VtcCls(), Received(), FeatureNorm()], ids=lambda method: method.name)
def test_features_come_at_the_chosen_indices_in_the_chosen_order(kept, method):
    tower = make_siglip() if method.name == "received" else make_tower()
    generator = torch.Generator().manual_seed(kept)
    indices = torch.stack([torch.randperm(36, generator=generator)[:kept] for _ in range(3)])
    encoder = PrunedEncoder(tower, 7, method)
    with torch.inference_mode():
        pruned = encoder(pixels(tower, 3), choose=lambda seen: Choice(indices, 2.0 * seen.tile))
        assert torch.equal(pruned.indices, indices)
        assert torch.equal(pruned.scores, torch.zeros(3, 36))
        expected = gather(whole(tower, pixels(tower, 3)), indices)
    torch.testing.assert_close(pruned.features, expected, rtol=0, atol=FEATURE_TOLERANCE)


def test_choosing_as_the_encoder_does_gives_the_same_bits():
    encoder = PrunedEncoder(make_tower(), 7)
    with torch.inference_mode():
        mine = encoder(pixels(encoder.tower), lambda seen: VtcCls().choose(vtc_torch, seen, 7))
        for a, b in zip(mine, encoder(pixels(encoder.tower)), strict=True):
            assert torch.equal(a, b)


def test_the_choice_applies_to_every_feature_layer():
    tower = make_tower()
    best_first = torch.tensor([[30, 2, 2], [0, 35, 7]])  # a token may come twice
    with torch.inference_mode():
        pruned = PrunedEncoder(tower, 7, feature_layer=(-2, 0))(pixels(tower), chosen(best_first))
        expected = torch.cat([gather(whole(tower, pixels(tower), n), best_first) for n in (-2, 0)], -1)
    torch.testing.assert_close(pruned.features, expected, rtol=0, atol=FEATURE_TOLERANCE)


def test_indices_of_any_integer_dtype_come_back_as_int64():
    encoder = PrunedEncoder(make_tower(), 7)
    with torch.inference_mode():
        pruned = encoder(pixels(encoder.tower), chosen(torch.tensor([[3], [4]], dtype=torch.int32)))
    assert pruned.indices.dtype == torch.int64


def test_an_empty_batch_is_chosen_from_too():
    encoder = PrunedEncoder(make_tower(), 7)
    pruned = encoder(pixels(encoder.tower)[:0], lambda seen: VtcCls().choose(vtc_torch, seen, 4))
    assert [tuple(x.shape) for x in pruned] == [(0, 4, 32), (0, 4), (0, 36)]


def test_minus_one_is_cls():
    """As Video-LLaVA needs it; together with all patches it is the unpruned hidden state."""
    tower = make_tower()
    encoder = PrunedEncoder(tower, 7)
    with torch.inference_mode():
        all_tokens = encoder(pixels(tower), chosen(torch.arange(-1, 36).expand(2, -1))).features
        expected = tower(pixels(tower), output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(all_tokens, expected, rtol=0, atol=FEATURE_TOLERANCE)


@pytest.mark.parametrize(
    ("indices", "kind", "message"),
    [
        ([[1]], TypeError, r"indices must be an array of shape \(batch, keep\), got list"),
        (None, TypeError, r"indices must be an array of shape \(batch, keep\), got NoneType"),
        (torch.zeros(2, dtype=torch.long), ValueError, r"indices must have shape \(batch, keep\), got \(2,\)"),
        (torch.zeros(2, 0, dtype=torch.long), ValueError, r"indices must name at least 1 token .*, got shape \(2, 0\)"),
        (torch.zeros(3, 4, dtype=torch.long), ValueError, "features and indices disagree on batch: 2 and 3"),
        (torch.zeros(2, 38, dtype=torch.long), ValueError, "indices must name at most 37 tokens .*, got 38"),
        (torch.zeros(2, 4), TypeError, "indices must be an array of integers, got float32"),
        (torch.ones(2, 36, dtype=torch.bool), TypeError, "indices must be an array of integers, got bool"),
    ],
)
def test_refusals(indices, kind, message):
    encoder = PrunedEncoder(make_tower(), 7)
    with pytest.raises(kind, match=message):
        encoder(pixels(encoder.tower), chosen(indices))


@pytest.mark.parametrize("choice", [torch.zeros(2, 4, dtype=torch.long), None, [[1]]], ids=lambda x: type(x).__name__)
def test_what_is_no_choice_is_refused(choice):
    encoder = PrunedEncoder(make_tower(), 7)
    message = rf"choose must return a Choice \(indices, scores, weights\), got {type(choice).__name__}"
    with pytest.raises(TypeError, match=message):
        encoder(pixels(encoder.tower), lambda seen: choice)


def test_weights_mix_what_the_method_sees_and_nothing_else():
    """Two tokens: the mean of all, and token 3, which is copied bit for bit."""
    tower = make_tower()
    weights = torch.zeros(2, 2, 36)
    weights[:, 0], weights[:, 1, 3] = 1 / 36, 1.0
    choose = chosen(torch.tensor([[-1, 3]] * 2), weights)
    with torch.inference_mode():
        mixed = PrunedEncoder(tower, 7, FeatureNorm())(pixels(tower), choose).features
        features = whole(tower, pixels(tower))
    torch.testing.assert_close(mixed[:, 0], features.mean(1), rtol=1e-5, atol=1e-6)
    assert torch.equal(mixed[:, 1], features[:, 3])
    message = "choose must return no weights where the method sees no features: there is nothing to mix"
    with pytest.raises(ValueError, match=message):
        PrunedEncoder(tower, 7)(pixels(tower), choose)


class Multiplies(Sees):
    """Scores that a product makes, which autocast would take to 16 bits."""

    def choose(self, v, seen, keep):
        scores = (seen.features @ seen.features.mT).sum(2)
        return Choice(v.select(scores, keep), scores, seen.features @ seen.features[:, :keep].mT)


def test_a_choice_is_neither_autocast_nor_differentiated():
    encoder = PrunedEncoder(make_tower(), 7, Multiplies(("features",)))
    with torch.autocast("cpu", torch.bfloat16):
        looked = encoder.look(pixels(encoder.tower))
        assert looked.seen.features.requires_grad
        choice = looked.choose(7)
    expected = Multiplies().choose(vtc_torch, looked.seen, 7)
    assert torch.equal(choice.scores, expected.scores)
    assert choice.scores.dtype == torch.float32
    assert not choice.scores.requires_grad


def test_mixtures_are_not_autocast_and_gradients_reach_what_is_mixed():
    encoder = PrunedEncoder(make_tower(), 7, FeatureNorm())
    weights = torch.rand(2, 3, 36, generator=torch.Generator().manual_seed(0))
    looked = encoder.look(pixels(encoder.tower).requires_grad_())
    choice = Choice(torch.full((2, 3), -1), torch.zeros(2, 36), weights)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = looked.feed(choice)
    features = looked.seen.features
    torch.testing.assert_close(mixed, weights @ features, rtol=1e-6, atol=1e-6)
    (got,) = torch.autograd.grad(mixed.sum(), features)
    torch.testing.assert_close(got, weights.sum(1)[:, :, None].expand_as(features))
