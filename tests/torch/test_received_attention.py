"""Method "received", and towers without CLS, against transformers' own eager attention maps."""

from typing import Any

import pytest
import torch
from small_models import make_siglip, make_tower, pixels
from torch.utils.flop_counter import FlopCounterMode
from transformers import Dinov2Config, Dinov2Model, Siglip2VisionConfig, Siglip2VisionModel

from vtc_core.methods import Received, VtcCls
from vtc_torch import PrunedEncoder, gather

from .eager import check, check_rows, oracle
from .shapes import Shapes

TOWERS = {"siglip": make_siglip, "clip": make_tower}


def received(tower, keep=7, layers: Any = 2, feature_layer: Any = -2, reduce="sum"):
    return PrunedEncoder(tower, keep, Received(layers, reduce), feature_layer)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("depth", "dim", "heads", "grid"), [(2, 16, 2, 3), (4, 48, 3, 9)])
@pytest.mark.parametrize("make", TOWERS.values(), ids=TOWERS)
def test_s8_every_count_of_layers(make, depth, dim, heads, grid, batch):
    tower = make(depth=depth, dim=dim, heads=heads, grid=grid)
    for layers in range(1, depth):
        check(received(tower, grid, layers), pixels(tower, batch))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("keep", [1, 12, 35, 36])
def test_s8_every_reduce_and_keep(reduce, keep):
    tower = make_siglip()
    check(received(tower, keep, reduce=reduce), pixels(tower))


@pytest.mark.parametrize("feature_layer", [-1, -2, -4, 1, 4])
@pytest.mark.parametrize("make", TOWERS.values(), ids=TOWERS)
def test_s6_every_feature_layer(make, feature_layer):
    """-1, which LLaVA-OneVision reads: what the last layer makes, and not what post_layernorm makes of that."""
    tower = make()
    check(received(tower, layers=1, feature_layer=feature_layer), pixels(tower), feature_layer)


@pytest.mark.parametrize("layers", [(0,), (1, 2), (0, 2), (-2, -4)])
def test_s6_explicit_layers_also_without_the_last_useful_one(layers):
    tower = make_siglip()
    check(received(tower, layers=layers), pixels(tower))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_works_with_the_models_own_attention(attention):
    tower = make_siglip(attention)
    check(received(tower), pixels(tower))


def test_is_another_method_than_cls():
    tower = make_tower()
    kept = [oracle(tower, pixels(tower), 7, method).indices for method in (Received(2), VtcCls(2))]
    assert (kept[0] != kept[1]).any()


def test_s7_rows_are_independent_and_an_empty_batch_works():
    check_rows(received(make_siglip()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_s8_sixteen_bits_keep_their_dtype_and_the_unpruned_features(dtype):
    tower = make_siglip().to(dtype)
    pixel_values = pixels(tower).to(dtype)
    with torch.inference_mode():
        pruned = received(tower)(pixel_values)
        whole = tower(pixel_values, output_hidden_states=True).hidden_states[-2]
    assert (pruned.features.dtype, pruned.scores.dtype) == (dtype, torch.float32)
    bound = 8 * torch.finfo(dtype).eps * whole.abs().max().item()
    torch.testing.assert_close(pruned.features, gather(whole, pruned.indices), rtol=0, atol=bound)


@pytest.mark.parametrize("make", TOWERS.values(), ids=TOWERS)
def test_no_attention_map_is_ever_made(make):
    encoder = received(make(grid=12))
    with torch.inference_mode(), Shapes() as shapes:
        encoder(pixels(encoder.tower))
    first = int(make is make_tower)
    assert (2, 4, 64, first + 144) in shapes.seen  # a block of the map; so the mode does see
    assert not [shape for shape in shapes.seen if len(shape) > 1 and min(shape[-2:]) >= 144]


def test_gradients_are_those_of_the_unpruned_encoder_at_the_kept_tokens():
    tower = make_siglip()
    pixel_values = pixels(tower).requires_grad_()
    pruned = received(tower)(pixel_values)
    pruned.features.square().sum().backward()
    got, pixel_values.grad = pixel_values.grad, None
    whole = tower(pixel_values, output_hidden_states=True).hidden_states[-2]
    gather(whole, pruned.indices).square().sum().backward()
    assert got is not None
    assert got.abs().max() > 0
    torch.testing.assert_close(got, pixel_values.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layers", "asks"), [(2, True), ((0, 1), False)])
def test_the_work_is_that_of_the_docstring(layers, asks):
    """All patches' queries are computed in the last useful layer when it is ensembled, and only then."""
    depth, dim, heads, grid, keep, batch = 5, 32, 4, 6, 5, 2
    n = grid * grid
    encoder = received(make_siglip("eager", depth, dim, heads, grid), keep, layers)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        encoder(pixels(encoder.tower, batch))
    embed = n * dim * 3 * 4 * 4
    whole_layer = n * (4 * dim * dim + 2 * dim * dim) + 2 * n * n * dim  # the small SigLIP's MLP is as wide as dim
    last_layer = 2 * n * dim * dim + keep * (2 * dim * dim + 2 * dim * dim) + 2 * keep * n * dim + asks * n * dim * dim
    signal = 2 * n * n * dim  # queries against keys in two layers; nothing is made of the values
    assert counter.get_total_flops() == 2 * batch * (embed + (depth - 2) * whole_layer + last_layer + signal)


@pytest.mark.parametrize(("height", "width"), [(12, 48), (48, 48), (24, 20), (28, 24)])
@pytest.mark.parametrize("make", TOWERS.values(), ids=TOWERS)
def test_pictures_of_another_form_are_refused(make, height, width):
    """transformers' SigLIP takes 12 x 48 for 24 x 24, with positions that are not those of the patches."""
    with pytest.raises(ValueError, match=f"pixel_values must be pictures of 24 x 24 pixels, got {height} x {width}"):
        received(make())(torch.zeros(1, 3, height, width))


def test_pixels_beyond_the_last_whole_patch_are_ignored_as_in_transformers():
    """siglip-so400m-patch14-384 makes 27 x 27 patches of 384 pixels, which are 6 too many."""
    tower = make_siglip()
    pixel_values = torch.randn(1, 3, 26, 27, generator=torch.Generator().manual_seed(0))
    check(received(tower), pixel_values)


def test_a_tower_without_cls_is_refused_by_methods_that_look_at_it():
    without = (
        r"SiglipVisionModel has no CLS token, and method 'vtc-cls' looks at it: take a CLIP tower, a method that does "
        r"without \(received, grid, .*norm.*\), or `vtc_torch.prune` with a signal of your own"
    )
    with pytest.raises(ValueError, match=without):
        PrunedEncoder(make_siglip(), 7)


def test_other_towers_are_refused_by_name():
    siglip2 = Siglip2VisionModel(
        Siglip2VisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    )
    dino = Dinov2Model(Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28))
    for tower, name in ((siglip2, "Siglip2VisionModel"), (dino, "Dinov2Model")):
        for method in ("vtc-cls", "received"):
            with pytest.raises(ValueError, match=f"a CLIP, SigLIP or InternVL vision model .*, got {name}"):
                PrunedEncoder(tower, 7, method)


def test_repr_tells_the_method():
    assert "method='received:layers=2', layers=(1, 2)" in repr(received(make_siglip()))
