"""`show`: tiles and frames in their places, and exactly those patches lit that are fed."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vtc_llava
from vtc_llava.showing import shown_by_model, shown_by_tower

from .families import FAMILIES
from .prompts import clip

made = cache(lambda name: FAMILIES[name].make())


def smooth(width: int, height: int) -> Image.Image:
    """Looks the same at every size."""
    y, x = np.mgrid[:height, :width]
    channels = [x / width, y / height, (x + y) / (width + height)]
    return Image.fromarray((255 * np.stack(channels, -1)).astype(np.uint8))


@pytest.mark.parametrize("size", [(90, 50), (40, 110)])
@pytest.mark.parametrize("family", ["llava_next", "llava_next_video", "llava_onevision", "internvl"])
def test_tiles_are_in_their_places_and_padding_is_cut_off(family, size):
    model, processor = made(family)
    side = FAMILIES[family].frame
    with vtc_llava.patch(model, processor, keep=3, method=FAMILIES[family].method) as handle:
        canvas = shown_by_model(handle, smooth(*size), None).canvas
    gap = round(0.05 * side)
    assert canvas.there[:side, :side].all()
    assert not canvas.there[:, side : side + gap].any()
    parts = canvas.picture[canvas.there[:, -1], side + gap :].astype(float)
    for shown in (canvas.picture[:side, :side], parts):
        expected = smooth(*size).resize(shown.shape[1::-1], Image.Resampling.BICUBIC)
        assert (
            np.abs(shown - np.asarray(expected, float)).mean() < 15
        )  # of 255: a pixel of padding at an edge; a tile elsewhere is 60


@pytest.mark.parametrize("budget", [{"keep": 5}, {"total": 17}], ids=str)
@pytest.mark.parametrize("family", ["llava", "llava_next", "video_llava", "internvl"])
def test_as_many_patches_are_lit_as_tokens_are_fed(family, budget):
    case = FAMILIES[family]
    if "total" in budget and not case.total:
        pytest.skip("one tile")
    model, processor = made(family)
    with vtc_llava.patch(model, processor, **budget) as handle:
        shown = shown_by_model(handle, smooth(90, 50), None)
        assert shown.fed == len(handle.weights(0))
    pixels = 64 if family == "internvl" else 16  # squares of 4 patches of 4 x 4 pixels
    assert shown.canvas.kept.sum() == pixels * shown.fed
    assert not shown.canvas.merged.any()
    lowest = shown.canvas.scores[shown.canvas.kept].min()
    if budget == {"keep": 5} and family not in ("llava_next", "internvl"):
        dropped = shown.canvas.there & ~shown.canvas.kept
        assert (shown.canvas.scores[dropped] <= lowest).all()


def test_patches_of_which_something_is_fed_are_lit_under_a_blend():
    model, processor = made("llava_onevision")
    with vtc_llava.patch(model, processor, total=11, method="received") as handle:
        shown = shown_by_model(handle, smooth(90, 50), None)
        patches = (handle.weights(0) != 0).any(0).sum()
    assert shown.fed == 11
    assert shown.canvas.kept.sum() == 16 * int(patches)


@pytest.mark.parametrize("family", ["llava", "llava_next", "llava_onevision", "internvl"])
def test_a_merging_method_shows_what_it_mixed(family):
    model, processor = made(family)
    method = "tome" if family == "llava_onevision" else "visionzip"
    with vtc_llava.patch(model, processor, keep=4, method=method) as handle:
        shown = shown_by_model(handle, smooth(90, 50), None)
    assert shown.canvas.merged.any()
    assert not (shown.canvas.merged & shown.canvas.kept).any()
    assert "others merged into them" in shown.figure("").axes[1].get_title("left")


def test_everything_fed_is_all_lit_and_has_no_scores():
    model, processor = made("llava_next")
    with vtc_llava.patch(model, processor, keep=36) as handle:
        shown = shown_by_model(handle, smooth(90, 50), None)
    assert shown.fed == shown.tokens
    assert shown.canvas.kept[shown.canvas.there].all()
    assert shown.figure("").axes[2].get_title("left") == "no scores: everything is fed"


@pytest.mark.parametrize("family", ["llava_next_video", "video_llava", "llava_onevision", "internvl"])
def test_frames_of_a_video_are_in_a_grid(family):
    case = FAMILIES[family]
    model, processor = made(family)
    settings = {"do_normalize": True, "do_rescale": True, "rescale_factor": 1 / 255}
    for name, value in {**settings, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}.items():
        setattr(processor.video_processor, name, value)
    frames = clip(0, side=case.frame)
    with vtc_llava.patch(model, processor, keep=2, method=case.method) as handle:
        canvas = shown_by_model(handle, None, frames).canvas
        figure = handle.show(video=frames)
    right = case.frame + round(0.05 * case.frame)
    for frame, (top, left) in zip(frames, [(0, 0), (0, right), (right, 0)], strict=True):
        assert (canvas.picture[top : top + case.frame, left : left + case.frame] == frame).all()
    assert not canvas.there[right:, right:].any()
    assert figure.axes


@pytest.mark.parametrize("budget", [{"keep": 5}, {"total": 17}], ids=str)
@pytest.mark.parametrize("family", ["llava", "llava_next", "llava_onevision", "video_llava", "internvl"])
def test_a_tower_alone_shows_what_the_patched_model_shows(family, budget, tmp_path: Path):
    case = FAMILIES[family]
    model, processor = made(family)
    model.save_pretrained(tmp_path)
    processor.image_processor.save_pretrained(tmp_path)
    settings = {"keep": None, "total": None, **budget, "method": case.method}
    if "total" in budget and not case.total:
        with pytest.raises(ValueError, match="a picture of 'llava' is one tile: pass keep=17"):
            vtc_llava.show(str(tmp_path), smooth(90, 50), **settings)
        return
    with vtc_llava.patch(model, processor, **settings) as handle:
        expected = shown_by_model(handle, smooth(90, 50), None)
    shown = shown_by_tower(str(tmp_path), smooth(90, 50), **settings)
    assert shown[1:] == expected[1:]
    for array, other in zip(shown.canvas, expected.canvas, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-5, atol=1e-6)


def test_what_patch_refuses_is_refused_of_a_tower_alone(tmp_path: Path):
    model, processor = made("llava_next")
    model.save_pretrained(tmp_path)
    processor.image_processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="method 'flowcut' drops tokens inside the encoder, before tiles"):
        vtc_llava.show(str(tmp_path), smooth(90, 50), keep=5, method="flowcut")
    model.model.vision_tower.save_pretrained(tmp_path / "tower")
    processor.image_processor.save_pretrained(tmp_path / "tower")
    with pytest.raises(ValueError, match="total is for pictures of several tiles, got a tower alone: pass keep=17"):
        vtc_llava.show(str(tmp_path / "tower"), smooth(90, 50), total=17)


def test_from_python(tmp_path: Path):
    model, processor = made("llava")
    model.save_pretrained(tmp_path)
    processor.image_processor.save_pretrained(tmp_path)
    smooth(30, 30).save(tmp_path / "photo.png")
    figure = vtc_llava.show(str(tmp_path), tmp_path / "photo.png", keep=4, dtype=torch.float32)
    assert figure.texts[0].get_text() == "4 of 36 visual tokens"
    with vtc_llava.patch(model, processor, keep=4) as handle:
        with pytest.raises(TypeError, match="exactly one of image and video is needed"):
            handle.show()
        assert handle.show(smooth(30, 30)).texts[0].get_text() == "4 of 36 visual tokens (vtc-cls)"
        assert "<tr><th>budget</th><td>keep=4</td></tr>" in handle._repr_html_()
        assert "<tr><th>tokens</th><td>36 -&gt; 4 (keep=4)</td></tr>" in handle.describe(30, 30)._repr_html_()
