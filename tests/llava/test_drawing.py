"""The pictures of pruning, pixel by pixel where it matters."""

import numpy as np

from vtc_llava.canvas import SHADE, Kept, one_tile, patch_map
from vtc_llava.drawing import kept_figure

SCORES = np.array([0.4, 0.1, 0.2, 0.3], np.float32)


def test_patches_are_in_raster_order():
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert patch_map(np.arange(4), 4, 4).tolist() == expected


def test_pixels_beyond_the_last_whole_patch_go_with_it():
    """As in a 5-pixel picture of 2-pixel patches: the encoder's convolution leaves the rest out."""
    assert patch_map(np.arange(4), 5, 5)[4].tolist() == [2, 2, 3, 3, 3]


def test_dropped_patches_are_dark_and_kept_ones_as_they_were():
    picture = np.full((4, 4, 3), 200, np.uint8)
    shown = one_tile(Kept(picture, np.array([0, 3]), SCORES)).darkened()[..., :3]
    assert (shown[:2, :2] == 200).all()
    assert (shown[2:, 2:] == 200).all()
    assert (shown[:2, 2:] == 200 * SHADE).all()
    assert (shown[2:, :2] == 200 * SHADE).all()


def test_merged_patches_are_in_the_half_dark_and_an_anchor_without_weight_is_no_kept_patch():
    weights = np.array([[0.5, 0.5, 0, 0], [0, 0, 1, 0]], np.float32)
    tile = Kept(np.zeros((4, 4, 3), np.uint8), np.array([0, 3]), SCORES, weights)
    assert tile.chosen.tolist() == [True, False, False, False]
    assert tile.merged.tolist() == [False, True, True, False]


def test_the_figure_shows_kept_patches_brighter_than_dropped_ones():
    tile = one_tile(Kept(np.full((4, 4, 3), 200, np.uint8), np.array([0, 3]), SCORES))
    figure = kept_figure(tile, "a title", "scores", 2, 4)
    whole, kept, heat = figure.axes[:3]
    assert np.asarray(whole.images[0].get_array()).min() == 200
    seen = np.asarray(kept.images[0].get_array())
    assert seen[..., 0].tolist() == [[200, 200, 50, 50]] * 2 + [[50, 50, 200, 200]] * 2
    assert (seen[..., 3] == 255).all()
    assert np.asarray(heat.images[0].get_array())[0].tolist() == SCORES[[0, 0, 1, 1]].tolist()
    assert kept.get_title("left") == "2 of 4 tokens kept"
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_all_tokens_kept_darkens_nothing():
    picture = np.full((4, 4, 3), 200, np.uint8)
    figure = kept_figure(one_tile(Kept(picture, np.arange(4), SCORES)), "", "", 4, 4)
    assert (np.asarray(figure.axes[1].images[0].get_array())[..., :3] == picture).all()
