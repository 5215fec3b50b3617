"""Pixel values of pictures that Pillow resizes itself, and of JPEGs decoded at a fraction of their size."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import make_processor, make_tower, picture
from transformers import (
    CLIPImageProcessorPil,
    GotOcr2ImageProcessorPil,
    LlavaNextImageProcessorPil,
    SiglipImageProcessorPil,
)

from vtc_encode import Refused, Worker
from vtc_encode.preprocessing import pixel_values, target
from vtc_pictures import read_picture

from .encoding import rows, run

CROP: Any = {"crop_size": {"height": 24, "width": 24}}
PROCESSORS: dict[str, Any] = {
    "CLIP": CLIPImageProcessorPil(size={"shortest_edge": 24}, **CROP),
    "resized beyond the crop": CLIPImageProcessorPil(size={"shortest_edge": 31}, **CROP),
    "SigLIP": SiglipImageProcessorPil(size={"height": 20, "width": 20}),
    "without resizing": CLIPImageProcessorPil(do_resize=False, **CROP),
    "InternVL": GotOcr2ImageProcessorPil(size={"height": 24, "width": 24}),
    "of tiles": LlavaNextImageProcessorPil(size={"shortest_edge": 24}, image_grid_pinpoints=[[48, 24]], **CROP),
}


@pytest.mark.parametrize("size", [(64, 48), (5, 90), (24, 24), (301, 207), (1, 1)], ids=str)
@pytest.mark.parametrize("name", PROCESSORS)
def test_pixel_values_are_the_processors_to_the_bit(name, size):
    processor, image = PROCESSORS[name], picture(0, *size)
    expected = processor(images=image, return_tensors="pt", input_data_format="channels_last")["pixel_values"][0]
    assert torch.equal(pixel_values(processor, image), expected)


def test_what_is_not_known_is_left_to_the_processor():
    assert target(PROCESSORS["CLIP"], 48, 96) == (48, 24)
    assert target(PROCESSORS["SigLIP"], 48, 96) == (20, 20)
    assert target(PROCESSORS["without resizing"], 48, 96) is None
    assert target(PROCESSORS["of tiles"], 48, 96) is None


def jpeg(width: int, height: int, orientation: int = 1) -> io.BytesIO:
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)).resize((width, height))
    exif = Image.Exif()
    exif[274] = orientation
    smooth.save(file := io.BytesIO(), "JPEG", quality=95, exif=exif)
    return file


@pytest.mark.parametrize(("size", "least", "expected"), [
    ((800, 600), 0, (800, 600)),
    ((800, 600), 150, (200, 150)),
    ((800, 600), 151, (400, 300)),
    ((800, 600), 301, (800, 600)),
    ((80, 600), 60, (80, 600)),
    ((8000, 6000), 100, (1000, 750)),
])  # fmt: skip
def test_a_jpeg_is_decoded_at_a_fraction_that_is_no_shorter(size, least, expected):
    assert read_picture(jpeg(*size), least).size == expected


def test_a_fraction_shows_the_same_picture_upright():
    whole, fraction = read_picture(jpeg(800, 600, 6)), read_picture(jpeg(800, 600, 6), 150)
    assert (whole.size, fraction.size) == ((600, 800), (150, 200))
    shrunk = np.asarray(whole.resize((150, 200), Image.Resampling.BOX), float)
    assert np.abs(shrunk - np.asarray(fraction, float)).mean() < 1  # of 255


def test_a_png_is_decoded_whole():
    picture(0, 800, 600).save(file := io.BytesIO(), "PNG")
    assert read_picture(file, 100).size == (800, 600)


def test_a_corpus_decoded_fast_is_close_and_no_other_run_goes_on_with_it(worker: Worker, tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name, size in (("large", (1600, 1200)), ("small", (150, 120))):
        (tmp_path / "in" / f"{name}.jpg").write_bytes(jpeg(*size).getvalue())
    fast = Worker(replace(worker.recipe, fast_decode=True))
    assert fast.least == 2 * 96
    run(worker, tmp_path / "in", tmp_path / "whole")
    run(fast, tmp_path / "in", tmp_path / "fast")
    ids, whole, kept, *_ = rows(tmp_path / "whole")
    _, features, indices, _, settings = rows(tmp_path / "fast")
    assert settings["decoded"] == "fast"
    assert ids == ["large.jpg", "small.jpg"]
    np.testing.assert_array_equal(features[1], whole[1])  # no fraction of it would do
    assert not np.array_equal(features[0], whole[0])
    assert len(set(indices[0]) & set(kept[0])) >= 12  # of 16
    with pytest.raises(Refused, match="decoded"):
        run(worker, tmp_path / "in", tmp_path / "fast")


def test_a_processor_that_resizes_as_it_likes_is_refused(worker: Worker, tmp_path: Path):
    make_tower().save_pretrained(tmp_path)
    processor = make_processor().image_processor
    processor.do_resize = False
    processor.save_pretrained(tmp_path)
    with pytest.raises(Refused, match=r"--fast-decode: what the image processor of .* resizes to is not known before"):
        Worker(replace(worker.recipe, checkpoint=str(tmp_path), keep=4, fast_decode=True))
