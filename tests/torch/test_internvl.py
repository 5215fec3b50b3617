"""InternViT: norms of queries and keys, scaled layers, a last norm; and tokens that are squares of patches."""

from typing import Any

import pytest
import torch
from small_internvl import make_internvl
from small_models import pixels, same
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.internvl.modeling_internvl import InternVLModel

from vtc_core.methods import METHODS, FeatureNorm, Received, VtcCls
from vtc_core.shuffled import factor_of, patches_of
from vtc_torch import PrunedEncoder, pack

from .eager import check, check_rows, eager_of


def squares(side: int, factor: int) -> torch.Tensor:
    return patches_of(torch.arange((side // factor) ** 2), side, factor)


FORMS = {
    "as in InternVL3-1B": {},
    "as in InternVL3-38B": {"use_qk_norm": True, "norm_type": "rms_norm"},
    "with biases and a last norm": {"attention_bias": True, "use_mean_pooling": False},
    "without positions": {"use_absolute_position_embeddings": False},
}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", [VtcCls(3), VtcCls((0, 2), "max"), Received(2)], ids=str)
def test_kept_patches_have_the_features_of_the_stock_tower(form, attention, method):
    tower = make_internvl(attention, **FORMS[form])
    for feature_layer in (-1, -2):
        check(PrunedEncoder(tower, 7, method, feature_layer), pixels(tower), feature_layer)


@pytest.mark.parametrize("form", FORMS)
def test_a_last_layer_that_is_run_whole_gives_the_same_features(form):
    tower = make_internvl(**FORMS[form])
    with torch.inference_mode():
        pruned = PrunedEncoder(tower, 7, FeatureNorm(), -1)(pixels(tower))
    whole = eager_of(tower, pixels(tower)).features(-1)[:, 1:]
    expected = torch.stack([row[kept] for row, kept in zip(whole, pruned.indices, strict=True)])
    torch.testing.assert_close(pruned.features, expected, rtol=0, atol=2e-5)


def test_rows_are_independent_and_an_empty_batch_works():
    check_rows(PrunedEncoder(make_internvl(use_qk_norm=True), 7, VtcCls(), -1))


def test_a_hook_on_queries_after_their_norm_is_listened_to():
    tower: Any = make_internvl(use_qk_norm=True)
    tower.encoder.layer[2].attention.q_norm.register_forward_hook(lambda module, inputs, output: output / 2)
    check(PrunedEncoder(tower, 7), pixels(tower))


def test_pruning_takes_fewer_multiply_adds_than_the_stock_tower():
    tower = make_internvl(depth=4, dim=64, grid=12)
    counts = []
    for run in (lambda: tower(pixels(tower)), lambda: PrunedEncoder(tower, 16, VtcCls(2), -1)(pixels(tower))):
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            run()
        counts.append(counter.get_total_flops())
    assert counts[1] < 0.9 * counts[0]


def test_it_can_be_packed():
    tower = make_internvl(use_qk_norm=True)
    before = PrunedEncoder(tower, 7)(pixels(tower))
    with torch.inference_mode():
        after = PrunedEncoder(pack(tower), 7)(pixels(tower))
    same(after.indices, before.indices)
    torch.testing.assert_close(after.features, before.features, rtol=1e-5, atol=1e-5)


# --- squares ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "factor"), [(6, 2), (32, 2), (8, 4), (4, 1), (2, 2)])
def test_squares_are_those_of_the_stock_pixel_shuffle(side, factor):
    patches = torch.randn(2, side**2, 5)
    stock = InternVLModel.pixel_shuffle(None, patches.view(2, side, side, 5), 1 / factor)  # type: ignore[arg-type]
    same(patches[:, squares(side, factor)].flatten(2), stock.flatten(1, 2))


@pytest.mark.parametrize("method", [VtcCls(2), Received(1), FeatureNorm()], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_squares_are_scored_by_the_sum_of_their_patches_and_kept_whole(form, method):
    tower = make_internvl(**FORMS[form])
    patches = PrunedEncoder(tower, 36, method, -1)
    encoder = PrunedEncoder(tower, 4, method, -1, shuffle=2)
    assert encoder.tokens == 9
    with torch.inference_mode():
        pruned, whole = encoder(pixels(tower)), patches(pixels(tower))
    shuffled = whole.features[:, squares(6, 2)].flatten(2)  # batch tokens 4*dim
    summed = whole.scores[:, squares(6, 2)].sum(2)
    expected = shuffled.norm(dim=-1) if isinstance(method, FeatureNorm) else summed
    torch.testing.assert_close(pruned.scores, expected, rtol=1e-5, atol=1e-6)
    same(pruned.indices, expected.topk(4).indices.sort().values)
    kept = torch.stack([row[indices] for row, indices in zip(shuffled, pruned.indices, strict=True)])
    torch.testing.assert_close(pruned.features, kept, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "name",
    [name for name, kind in METHODS.items() if not kind.progressive and not {"text", "text_embeds"} & {*kind.needs}],
)
def test_every_method_chooses_among_squares(name):
    tower = make_internvl()
    encoder = PrunedEncoder(tower, 4, name, -1, torch.nn.Linear(128, 8), shuffle=2)
    with torch.inference_mode():
        features, indices, scores = encoder(pixels(tower))
    assert features.shape == (2, 4, 8)
    assert features.isfinite().all()
    assert scores.shape == (2, 9)
    assert indices.max() < 9


def test_all_squares_are_what_the_stock_model_gives_its_projector():
    tower = make_internvl()
    encoder = PrunedEncoder(tower, 9, VtcCls(), -1, shuffle=2)
    with torch.inference_mode():
        stock = tower(pixels(tower)).last_hidden_state[:, 1:].view(2, 6, 6, 32)
        stock = InternVLModel.pixel_shuffle(None, stock, 0.5).flatten(1, 2)  # type: ignore[arg-type]
        torch.testing.assert_close(encoder(pixels(tower)).features, stock, rtol=0, atol=2e-5)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_refusals():
    tower = make_internvl()
    with pytest.raises(ValueError, match=r"keep must be an integer in \[1, 9\] .*, got 10"):
        PrunedEncoder(tower, 10, VtcCls(), -1, shuffle=2)
    with pytest.raises(ValueError, match="a tile's side of 5 patches must be a multiple of 2"):
        PrunedEncoder(make_internvl(grid=5), 4, VtcCls(), -1, shuffle=2)
    with pytest.raises(ValueError, match="method 'flowcut' drops tokens inside the encoder, and the layers of Intern"):
        PrunedEncoder(tower, 4, "flowcut")
    oblong = make_internvl()
    oblong.embeddings.image_size = (24, 32)
    with pytest.raises(ValueError, match=r"image_size must be a height and a width that are equal, got \[24, 32\]"):
        PrunedEncoder(oblong, 4)
    with pytest.raises(ValueError, match=r"downsample_ratio must be 1 over a whole number, got 0.4"):
        factor_of(0.4)
