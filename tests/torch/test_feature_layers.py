"""Several feature layers, as VipLLaVA has them, against transformers' hidden states and VipLLaVA itself."""

import copy
from typing import Any

import pytest
import torch
from small_models import WORDS, clip_config, make_siglip, make_tower, pixels, sharpen
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, VipLlavaConfig, VipLlavaModel

from vtc_core.methods import Received, VtcCls
from vtc_torch import PrunedEncoder, gather

from .eager import check


@pytest.mark.parametrize(
    ("feature_layer", "last_three"),
    [
        ((-2, -5, -8, -11, 6), (8, 9, 10)),  # VipLLaVA's own
        ([-8, -2], (8, 9, 10)),
        ((6, 3), (3, 4, 5)),
        ((-1, 0), (9, 10, 11)),  # the embeddings, by either number
        ((-13, 3), (0, 1, 2)),
        ((-3, 10, -3), (7, 8, 9)),  # one of them twice is once more dim
        ((-2,), (8, 9, 10)),
    ],
)
def test_s8_states_are_concatenated_in_the_given_order(feature_layer, last_three):
    tower = make_tower(depth=12, dim=16, heads=2, grid=4)
    encoder = PrunedEncoder(tower, 5, feature_layer=feature_layer)
    assert encoder.layers == last_three
    check(encoder, pixels(tower, 3), feature_layer)


def test_s8_without_cls():
    tower = make_siglip()
    encoder = PrunedEncoder(tower, 5, Received(2), (-1, 0, 2))
    check(encoder, pixels(tower), (-1, 0, 2))


def test_the_work_is_that_of_the_latest_state_alone():
    tower = make_tower("eager", depth=8)
    work = []
    for feature_layer in (-2, (-2, -5, 0, 3)):
        encoder = PrunedEncoder(tower, 5, feature_layer=feature_layer)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            encoder(pixels(tower))
        work.append(counter.get_total_flops())
    assert work[0] == work[1]


def test_an_empty_batch_is_as_wide():
    encoder = PrunedEncoder(make_tower(), 5, feature_layer=(-2, -3, 0))
    assert encoder(pixels(encoder.tower)[:0]).features.shape == (0, 5, 96)


def test_gradients_reach_every_state():
    tower = make_tower()
    pixel_values = pixels(tower).requires_grad_()
    pruned = PrunedEncoder(tower, 7, feature_layer=(-2, 0, 2))(pixel_values)
    pruned.features.square().sum().backward()
    got, pixel_values.grad = pixel_values.grad, None
    states = tower(pixel_values, output_hidden_states=True).hidden_states
    whole = torch.cat([states[number][:, 1:] for number in (-2, 0, 2)], -1)
    gather(whole, pruned.indices).square().sum().backward()
    torch.testing.assert_close(got, pixel_values.grad, rtol=1e-4, atol=1e-5)


def test_all_tokens_are_what_vipllava_projects():
    text = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=len(WORDS)
    )
    torch.manual_seed(0)
    config = VipLlavaConfig(vision_config=clip_config(depth=12, dim=16, heads=2), text_config=text)
    model = VipLlavaModel(copy.deepcopy(config)).eval()
    sharpen(model.vision_tower)
    encoder = PrunedEncoder(model.vision_tower, 36, feature_layer=(-2, -5, -8, -11, 6))
    with torch.inference_mode():
        mine = model.multi_modal_projector(encoder(pixels(model.vision_tower)).features)
        theirs: Any = model.get_image_features(pixels(model.vision_tower))
    torch.testing.assert_close(mine, theirs.pooler_output, rtol=0, atol=2e-5)


SEVERAL = (
    r"feature_layer must be integers in \[-6, 5\] \(hidden states, the embeddings first\), not the embeddings alone"
)


@pytest.mark.parametrize(
    ("feature_layer", "layers", "message"),
    [
        ((), 3, SEVERAL + r", got \(\)"),
        ((0, -6), 3, SEVERAL + r", got \(0, -6\)"),
        ([-2, 6], 3, SEVERAL + r", got \[-2, 6\]"),
        ((-7, -2), 3, SEVERAL + r", got \(-7, -2\)"),
        ((2, -3), 4, r"layers must be an integer in \[1, 3\] \(the layers up to the feature layer\), got 4"),
        ((2, -3), (3,), r"layer 3 comes after the feature layer \(layer 2 of 5\)"),
    ],
)
def test_refusals(feature_layer, layers, message):
    with pytest.raises(ValueError, match=message):
        PrunedEncoder(make_tower(), 7, VtcCls(layers), feature_layer)
