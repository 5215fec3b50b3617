"""`PrunedEncoder` against an oracle from transformers' own eager attention maps and hidden states."""

import pytest
import torch
from small_models import make_tower, pixels
from torch.utils.flop_counter import FlopCounterMode
from transformers import AttentionInterface, CLIPVisionModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

import vtc_torch
from vtc_core.methods import VtcCls
from vtc_torch import PrunedEncoder

from .eager import check, check_rows
from .shapes import Shapes


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize(("depth", "dim", "heads", "grid"), [(2, 16, 2, 3), (4, 32, 4, 6), (7, 48, 3, 5)])
def test_s8_every_count_of_layers(depth, dim, heads, grid, batch):
    tower = make_tower(depth=depth, dim=dim, heads=heads, grid=grid)
    for layers in range(1, depth):
        check(PrunedEncoder(tower, grid, VtcCls(layers)), pixels(tower, batch))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("keep", [1, 2, 12, 35, 36])
def test_s8_every_reduce_and_keep(reduce, keep):
    tower = make_tower()
    check(PrunedEncoder(tower, keep, VtcCls(reduce=reduce)), pixels(tower, 2))


@pytest.mark.parametrize("feature_layer", [-1, -2, -4, 1, 3, 5])
def test_s6_every_feature_layer(feature_layer):
    tower = make_tower()
    check(PrunedEncoder(tower, 7, VtcCls(1), feature_layer), pixels(tower), feature_layer)


@pytest.mark.parametrize("layers", [(0,), (1, 2), (3, 0), (-2, -5)])
def test_s6_explicit_layers_also_without_the_last_useful_one(layers):
    tower = make_tower()
    check(PrunedEncoder(tower, 7, VtcCls(layers)), pixels(tower))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_works_with_the_models_own_attention_and_activation(attention, activation):
    tower = make_tower(attention=attention, activation=activation)
    check(PrunedEncoder(tower, 7), pixels(tower))


def test_the_models_attention_function_sees_kept_queries_only_in_the_last_useful_layer():
    """Whatever is registered with transformers (flash_attention_2, where installed) is called once a useful layer."""
    lengths = []

    def recording(module, query, key, value, mask, **settings):
        lengths.append((query.shape[2], key.shape[2]))
        return sdpa_attention_forward(module, query, key, value, mask, **settings)

    AttentionInterface.register("recording", recording)
    try:
        tower = make_tower()
        tower.set_attn_implementation("recording")
        check(PrunedEncoder(tower, 7), pixels(tower))
    finally:
        del AttentionInterface._global_mapping["recording"]
    assert lengths == [(37, 37), (37, 37), (37, 37), (7, 37)]


def test_s7_rows_are_independent_and_an_empty_batch_works():
    check_rows(PrunedEncoder(make_tower(), 7))


def test_s9_same_bits_twice():
    encoder = PrunedEncoder(make_tower(), 7)
    with torch.inference_mode():
        first, second = encoder(pixels(encoder.tower)), encoder(pixels(encoder.tower))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_s8_other_dtypes_keep_their_dtype_and_the_unpruned_features(dtype):
    tower = make_tower().to(dtype)
    pixel_values = pixels(tower).to(dtype)
    with torch.inference_mode():
        pruned = PrunedEncoder(tower, 7)(pixel_values)
        whole = tower(pixel_values, output_hidden_states=True).hidden_states[-2][:, 1:]
    assert pruned.features.dtype == dtype
    assert pruned.scores.dtype == torch.promote_types(dtype, torch.float32)
    bound = 8 * torch.finfo(dtype).eps * whole.abs().max().item()
    torch.testing.assert_close(pruned.features, vtc_torch.gather(whole, pruned.indices), rtol=0, atol=bound)


def test_autocast_leaves_the_scores_in_float32():
    encoder = PrunedEncoder(make_tower(), 7)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert encoder(pixels(encoder.tower)).scores.dtype == torch.float32


def test_no_attention_map_is_ever_made():
    encoder = PrunedEncoder(make_tower(), 7)
    with torch.inference_mode(), Shapes() as shapes:
        encoder(pixels(encoder.tower))
    assert (2, 4, 36) in shapes.seen  # a CLS row; so the mode does see
    assert not [shape for shape in shapes.seen if shape[-2:] == (37, 37)]


def test_gradients_are_those_of_the_unpruned_encoder_at_the_kept_tokens():
    tower = make_tower()
    pixel_values = pixels(tower).requires_grad_()
    pruned = PrunedEncoder(tower, 7)(pixel_values)
    pruned.features.square().sum().backward()
    got, pixel_values.grad = pixel_values.grad, None
    whole = tower(pixel_values, output_hidden_states=True).hidden_states[-2][:, 1:]
    vtc_torch.gather(whole, pruned.indices).square().sum().backward()
    assert got is not None
    assert got.abs().max() > 0
    torch.testing.assert_close(got, pixel_values.grad, rtol=1e-4, atol=1e-5)


def test_weights_are_shared_and_the_tower_is_untouched():
    tower = make_tower()
    before = {name: id(p) for name, p in tower.named_parameters()}
    encoder = PrunedEncoder(tower, 7)
    assert encoder.tower is tower
    assert {name.removeprefix("tower."): id(p) for name, p in encoder.named_parameters()} == before
    assert type(tower) is CLIPVisionModel
    assert "forward" not in vars(tower)


def test_the_work_is_that_of_the_cost_model():
    """Design, section 4: multiply-adds of every matrix product, counted by torch, against the formula."""
    depth, dim, heads, grid, keep, batch = 6, 32, 4, 6, 5, 2
    n, mlp = grid * grid, 2 * dim
    tower = make_tower("eager", depth=depth, dim=dim, heads=heads, grid=grid)  # torch counts no sdpa on CPU
    encoder = PrunedEncoder(tower, keep, VtcCls(3))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        encoder(pixels(encoder.tower, batch))
    embed = n * dim * 3 * 4 * 4
    whole_layer = (1 + n) * (4 * dim * dim + 2 * dim * mlp) + 2 * (1 + n) ** 2 * dim
    cls_rows = 3 * (1 + n) * dim
    last_layer = (1 + n) * 2 * dim * dim + dim * dim + keep * (2 * dim * dim + 2 * dim * mlp) + 2 * keep * (1 + n) * dim
    expected = embed + (depth - 2) * whole_layer + cls_rows + last_layer  # depth - 1 useful layers, the last one apart
    assert counter.get_total_flops() == 2 * batch * expected


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"keep": 37}, ValueError, r"keep must be an integer in \[1, 36\] \(the number of patch tokens\), got 37"),
        ({"keep": 0}, ValueError, r"keep must be an integer in \[1, 36\]"),
        (
            {"method": VtcCls(5)},
            ValueError,
            r"layers must be an integer in \[1, 4\] \(the layers up to the feature layer\), got 5",
        ),
        ({"method": VtcCls((4,))}, ValueError, r"layer 4 comes after the feature layer \(layer 3 of 5\)"),
        ({"method": "vtc-cls:reduce=avg"}, ValueError, "reduce must be one of 'sum', 'mean', 'max', 'min', got 'avg'"),
        ({"feature_layer": 0}, ValueError, r"feature_layer must be an integer in \[1, 5\] or \[-5, -1\]"),
    ],
)
def test_refuses_settings_that_do_not_fit_the_tower(arguments, kind, message):
    with pytest.raises(kind, match=message):
        PrunedEncoder(make_tower(), **{"keep": 7, **arguments})


def test_refuses_things_that_are_no_tower():
    with pytest.raises(ValueError, match=r"got Linear"):
        PrunedEncoder(torch.nn.Linear(2, 2), 1)


def test_repr_tells_the_settings():
    assert "keep=7 of 36, method='vtc-cls', layers=(1, 2, 3)" in repr(PrunedEncoder(make_tower(), 7))
