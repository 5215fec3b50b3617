"""The pictures of pruning, pixel by pixel where it matters."""

from pathlib import Path

import numpy as np

from vtc_cli.drawing import SHADE, Answered, Kept, darken_dropped, demo_figure, kept_figure, marked, patch_map

SCORES = np.array([0.4, 0.1, 0.2, 0.3], np.float32)


def test_patches_are_in_raster_order():
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert patch_map(np.arange(4), 4, 4).tolist() == expected


def test_pixels_beyond_the_last_whole_patch_go_with_it():
    """As in a 5-pixel picture of 2-pixel patches: the encoder's convolution leaves the rest out."""
    assert patch_map(np.arange(4), 5, 5)[4].tolist() == [2, 2, 3, 3, 3]


def test_dropped_patches_are_dark_and_kept_ones_as_they_were():
    picture = np.full((4, 4, 3), 200, np.uint8)
    shown = darken_dropped(Kept(picture, np.array([0, 3]), SCORES))
    assert (shown[:2, :2] == 200).all()
    assert (shown[2:, 2:] == 200).all()
    assert (shown[:2, 2:] == 200 * SHADE).all()
    assert (shown[2:, :2] == 200 * SHADE).all()


def test_the_figure_shows_kept_patches_brighter_than_dropped_ones(tmp_path: Path):
    figure = kept_figure(Kept(np.full((4, 4, 3), 200, np.uint8), np.array([0, 3]), SCORES), "a title", "scores")
    whole, kept, heat = figure.axes[:3]
    assert np.asarray(whole.images[0].get_array()).min() == 200
    assert (
        np.asarray(kept.images[0].get_array())[..., 0].tolist() == [[200, 200, 50, 50]] * 2 + [[50, 50, 200, 200]] * 2
    )
    assert np.asarray(heat.images[0].get_array())[0].tolist() == SCORES[[0, 0, 1, 1]].tolist()
    assert kept.get_title("left") == "2 of 4 tokens kept"
    figure.savefig(tmp_path / "a.png")


def test_all_tokens_kept_darkens_nothing():
    picture = np.full((4, 4, 3), 200, np.uint8)
    figure = kept_figure(Kept(picture, np.arange(4), SCORES), "", "")
    assert (np.asarray(figure.axes[1].images[0].get_array()) == picture).all()


def test_the_demo_has_a_row_for_each_scene_and_a_word_for_each_answer():
    scene = Kept(np.zeros((4, 4, 3), np.uint8), np.array([0]), SCORES)
    answers = [Answered("what ?", "red", "red", "blue"), Answered("how many ?", "2", "2", "2")]
    figure = demo_figure([(scene, answers)] * 3, "title", "subtitle", "scores")
    assert len(figure.axes) == 3 * 4 + 1
    words = [text.get_text() for text in figure.axes[7].texts]
    assert words == ["what ?", "red", "✓ red", "✗ blue", "how many ?", "2", "✓ 2", "✓ 2"]


def test_marks():
    assert marked("red", "red") == "✓ red"
    assert marked("bottom", "bottom right") == "✗ bottom"
