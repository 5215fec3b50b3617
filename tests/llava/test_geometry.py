"""Layouts against what the stock models themselves pack, over random picture sizes, in the published geometries."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate
from transformers import LlavaNextImageProcessorPil, LlavaNextProcessor, LlavaOnevisionProcessor
from transformers.models.llava_next.modeling_llava_next import LlavaNextModel, image_size_to_num_patches
from transformers.models.llava_next_video.modeling_llava_next_video import LlavaNextVideoPooler
from transformers.models.llava_onevision.modeling_llava_onevision import LlavaOnevisionModel

from vtc_llava.geometry import ALWAYS, CLS, END, NEWLINE, anyres, frames, one_tile, unpadded

NEXT = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
ONEVISION = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))  # height, width


def awkward(test):
    """Portrait, landscape, square, tiny, huge, strips; and where floating point falls just short of a whole patch."""
    shapes = ((800, 400), (400, 800), (672, 672), (20, 20), (3000, 4000), (4000, 3000), (1, 777), (999, 1), (1, 1))
    for size in (*shapes, (110, 352), (205, 656), (836, 352), (88, 99), (752, 423), (656, 205)):
        test = example(size=size)(test)
    return test


def config(image_size, pinpoints, **more) -> Any:
    vision = SimpleNamespace(image_size=image_size, patch_size=14)
    return SimpleNamespace(config=SimpleNamespace(vision_config=vision, image_grid_pinpoints=pinpoints, **more))


def fed(layout, values, newline):
    """What `layout` makes of (tiles tokens dim) values: its blends, and newlines where it says so."""
    numbered = np.concatenate([np.full_like(values[:, :1], np.nan), values], 1).reshape(-1, values.shape[-1])
    tokens = (numbered[layout.source] * layout.weight[..., None]).sum(1)
    return np.where(np.isin(layout.tile, (NEWLINE, END))[:, None], newline, tokens)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(size=SIZES)
@awkward
def test_llava_next_is_packed_as_the_stock_model_does(size):
    layout = anyres(*size, side=24, image_size=336, pinpoints=tuple(map(tuple, NEXT)))
    assert layout.tiles == image_size_to_num_patches(size, NEXT, 336)
    index = torch.arange(layout.tiles * 576.0).reshape(layout.tiles, 576, 1)
    expected, _ = LlavaNextModel.pack_image_features(
        config(336, NEXT), [index], [size], "default", torch.tensor([-1.0])
    )
    assert fed(layout, index.numpy(), -1.0).tolist() == expected[0].tolist()
    tile = np.where(expected[0][:, 0] < 0, NEWLINE, expected[0][:, 0] // 576)
    assert layout.tile.tolist() == tile.tolist()
    assert layout.base


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(size=SIZES)
@awkward
def test_llava_onevision_is_packed_as_the_stock_model_does(size):
    layout = anyres(*size, side=27, image_size=384, pinpoints=tuple(map(tuple, ONEVISION)), max_tiles=9)
    values = torch.randn(layout.tiles, 729, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(size[0]))
    stock = LlavaOnevisionModel.pack_image_features
    expected, _ = stock(config(384, ONEVISION), [values], [size], torch.full((2,), 7.0).double(), "anyres_max_9")
    np.testing.assert_allclose(fed(layout, values.numpy(), 7.0), expected[0].numpy(), rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(size=SIZES)
@awkward
def test_there_are_as_many_as_the_stock_processors_count(size):
    height, width = size
    pixels = SimpleNamespace(image_grid_pinpoints=NEXT)
    stock: Any = SimpleNamespace(image_processor=pixels, patch_size=14, num_additional_image_tokens=0)
    stock._get_unpadded_features = LlavaNextProcessor._get_unpadded_features.__get__(stock)
    layout = anyres(*size, side=24, image_size=336, pinpoints=tuple(map(tuple, NEXT)))
    assert len(layout.tile) == LlavaNextProcessor._get_number_of_features(stock, height, width, 336, 336)
    stock.image_processor = SimpleNamespace(image_grid_pinpoints=ONEVISION)
    stock.num_image_tokens, stock.vision_aspect_ratio = 729, "anyres_max_9"
    stock._get_unpadded_features = LlavaOnevisionProcessor._get_unpadded_features.__get__(stock)
    layout = anyres(*size, side=27, image_size=384, pinpoints=tuple(map(tuple, ONEVISION)), max_tiles=9)
    assert len(layout.tile) == LlavaOnevisionProcessor._get_number_of_features(stock, height, width, 384, 384)


def test_the_published_geometry_is_that_of_the_stock_processor():
    """Or the tests above test another one."""
    assert LlavaNextImageProcessorPil().image_grid_pinpoints == NEXT


def test_unpadding_by_hand():
    """A 400 x 800 picture on a 2 x 2 grid of 4 x 4 patches: half the height, rows 2 to 5."""
    assert unpadded(400, 800, 8, 8) == (slice(2, 6), slice(None))
    assert unpadded(800, 400, 8, 8) == (slice(None), slice(2, 6))
    assert unpadded(5, 5, 8, 8) == (slice(None), slice(0, 8))


def test_one_tile_is_its_patches_in_raster_order():
    layout = one_tile(300, 500, side=3)
    assert layout.source.tolist() == [[n] for n in range(1, 10)]  # number 0 is CLS
    assert layout.tile.tolist() == [0] * 9
    assert not layout.base


def test_a_picture_among_several_of_llava_onevision_is_one_tile_and_a_newline():
    layout = anyres(300, 500, alone=False, side=2, image_size=8, pinpoints=((8, 16),), max_tiles=9)
    assert (layout.tiles, layout.tile.tolist()) == (1, [0, 0, 0, 0, NEWLINE])


def test_frames_with_cls():
    layout = frames(2, side=2, cls=True)
    assert layout.tile.tolist() == [CLS, 0, 0, 0, 0, CLS, 1, 1, 1, 1]
    assert layout.source[:, 0].tolist() == list(range(10))


@pytest.mark.parametrize("side", [6, 24])
def test_frames_of_llava_next_video_are_pooled_as_the_stock_model_does(side):
    layout = frames(3, side=side, pooled=side // 2)
    values = torch.randn(3, side**2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pooling = {"spatial_pool_mode": "average", "spatial_pool_stride": 2}
    vision = SimpleNamespace(image_size=14 * side, patch_size=14, hidden_size=2)
    expected = LlavaNextVideoPooler(SimpleNamespace(vision_config=vision, **pooling))(values)
    np.testing.assert_allclose(fed(layout, values.numpy(), 0.0), expected.flatten(0, 1).numpy(), rtol=0, atol=1e-12)
    assert layout.tile.tolist() == [frame for frame in range(3) for _ in range(side**2 // 4)]


@pytest.mark.parametrize("side", [5, 6, 27])
def test_frames_of_llava_onevision_are_shrunk_as_the_stock_model_does(side):
    pooled = math.ceil(side / 2)
    layout = frames(2, side=side, pooled=pooled, end=True)
    values = torch.randn(2, side**2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = LlavaOnevisionModel.apply_pooling(config(14 * side, []), values)
    np.testing.assert_allclose(fed(layout, values.numpy(), 7.0)[:-1], expected.flatten(0, 1).numpy(), rtol=0, atol=1e-5)
    assert layout.tile[-1] == END
    assert END in ALWAYS


def test_a_blend_competes_in_the_tile_in_which_its_centre_lies():
    """Two tiles of 4 x 4 side by side (and a base tile), 4 x 8 patches shrunk to 2 x 5: one column is of both."""
    layout = anyres(16, 32, side=4, image_size=16, pinpoints=((16, 32),), max_tiles=1)
    rows, columns = (int(n // math.sqrt(2)) for n in (4, 8))
    assert (rows, columns) == (2, 5)
    row = layout.tile[16:].reshape(rows, columns + 1)[0].tolist()
    assert row == [1, 1, 2, 2, 2, NEWLINE]  # centres at 0.3, 1.9, 3.5, 5.1, 6.7 of patches 0 to 7
    upright = anyres(32, 16, side=4, image_size=16, pinpoints=((32, 16),), max_tiles=1)
    assert upright.tile[16:].reshape(columns, rows + 1)[:, 0].tolist() == [1, 1, 2, 2, 2]
    values = torch.arange(32.0).reshape(1, 1, 4, 8)
    expected = interpolate(values, [rows, columns], mode="bilinear")[0, 0, 0]
    tiles = values[0, 0].reshape(4, 2, 4).swapaxes(0, 1).reshape(2, 16, 1)
    got = fed(layout, np.concatenate([np.zeros((1, 16, 1)), tiles.numpy()]), np.nan)[16 : 16 + columns, 0]
    np.testing.assert_allclose(got, expected.numpy(), rtol=0, atol=1e-5)
