"""What the rows hold, against the encoder itself and against transformers' own features."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import make_processor, make_tower
from transformers import AutoProcessor, CLIPVisionModel

import vtc_tiny
from vtc_cli.pictures import open_picture
from vtc_core.methods import VtcCls, saved
from vtc_encode import Recipe, Refused, Worker
from vtc_encode.batches import AHEAD
from vtc_torch import PrunedEncoder

from .encoding import BROKEN, SCENES, rows, run


def test_rows_are_the_encoders_of_those_pictures(worker: Worker, photos: Path, tmp_path: Path):
    done = run(worker, photos, tmp_path)
    ids, features, indices, scores, settings = rows(tmp_path)
    assert done.shards == 4  # of 29 files, 8 at a time
    assert done.encoded == len(ids) == SCENES
    assert ids == sorted(str(path.relative_to(photos)) for path in photos.rglob("*.*") if path.stem.isdigit())

    processor = AutoProcessor.from_pretrained(vtc_tiny.PATH).image_processor
    pixels = processor(images=[open_picture(photos / name) for name in ids], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        expected = PrunedEncoder.from_pretrained(str(vtc_tiny.PATH), keep=16)(pixels)
        loaded: Any = CLIPVisionModel.from_pretrained(
            vtc_tiny.PATH, key_mapping={r"^vision_tower\.(vision_model\.)?": ""}, output_loading_info=True
        )
        whole = loaded[0].eval()(pixels, output_hidden_states=True).hidden_states[-2][:, 1:].numpy()
    np.testing.assert_array_equal(indices, expected.indices)
    np.testing.assert_allclose(scores, expected.scores, atol=1e-6)
    np.testing.assert_allclose(features, expected.features, atol=2e-5)
    np.testing.assert_allclose(features, np.take_along_axis(whole, indices[..., None].astype(int), 1), atol=2e-5)
    assert (features.dtype, indices.dtype, scores.dtype) == (np.float32, np.int32, np.float32)
    assert features.shape == (SCENES, 16, 96)
    assert scores.shape == (SCENES, 144)
    assert {key: settings[key] for key in ("keep", "tokens", "dim", "method", "projected", "dtype")} == {
        "keep": 16, "tokens": 144, "dim": 96, "method": saved(VtcCls()), "projected": False, "dtype": "float32",
    }  # fmt: skip
    assert (settings["layers"], settings["feature_layer"]) == ([3, 4, 5], [6])
    assert (settings["pictures"], settings["shard_size"]) == (SCENES + len(BROKEN), 8)
    assert settings["checkpoint"] == str(vtc_tiny.PATH)


def test_packed_features_differ_by_rounding_and_no_other_run_goes_on_with_them(
    worker: Worker, photos: Path, tmp_path: Path
):
    packed = Worker(replace(worker.recipe, packed=True))
    for _ in range(2):  # the second finds a tower that is packed, and goes on
        run(packed, photos, tmp_path / "packed")
    run(worker, photos, tmp_path / "plain")
    ids, features, indices, _, settings = rows(tmp_path / "packed")
    expected = rows(tmp_path / "plain")
    assert ids == expected[0]
    np.testing.assert_allclose(features, expected[1], atol=2e-5)
    np.testing.assert_array_equal(indices, expected[2])
    assert settings["computed"] == "float32, packed"
    with pytest.raises(Refused, match="computed"):
        run(worker, photos, tmp_path / "packed")
    with pytest.raises(Refused, match="--packed lays weights out for a CPU, got --device cuda"):
        Worker(replace(worker.recipe, packed=True, device="cuda"))


def test_few_pictures_are_decoded_ahead_however_many_there_are(
    worker: Worker, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    decoded, encoded, waiting = [], [], []
    decode, encode = worker._pixels, worker._encoded

    def decoding(picture: Any) -> Any:
        decoded.append(picture.id)
        return decode(picture)

    def encoding(pixels: torch.Tensor) -> Any:
        waiting.append(len(decoded) - len(encoded))
        encoded.extend(pixels)
        return encode(pixels)

    monkeypatch.setattr(worker, "_pixels", decoding)
    monkeypatch.setattr(worker, "_encoded", encoding)
    run(worker, photos, tmp_path)
    assert len(decoded) == SCENES + len(BROKEN)
    assert max(waiting) <= (AHEAD + 1) * worker.recipe.batch + len(BROKEN)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_another_batch_is_the_same_to_rounding(
    worker: Worker, recipe: Recipe, photos: Path, tmp_path: Path, batch: int
):
    run(worker, photos, tmp_path / "4")
    run(Worker(replace(recipe, batch=batch)), photos, tmp_path / "n")
    for one, other, tolerance in zip(
        rows(tmp_path / "4")[1:4], rows(tmp_path / "n")[1:4], (2e-5, 0, 1e-6), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def test_half_the_bytes(worker: Worker, recipe: Recipe, photos: Path, tmp_path: Path):
    run(worker, photos, tmp_path / "32")
    run(Worker(replace(recipe, dtype="float16")), photos, tmp_path / "16")
    wide, narrow = rows(tmp_path / "32")[1], rows(tmp_path / "16")[1]
    assert narrow.dtype == np.float16
    np.testing.assert_array_equal(narrow, wide.astype(np.float16))  # computed in float32, on the CPU


def test_features_that_float16_cannot_hold(photos: Path, tmp_path: Path):
    tower = make_tower()
    with torch.no_grad():
        tower.embeddings.class_embedding.mul_(0)
        layers = tower.encoder.layers
        layers[3].mlp.fc2.bias.fill_(1e6)  # pyright: ignore
    tower.save_pretrained(tmp_path / "clip")
    make_processor().image_processor.save_pretrained(tmp_path / "clip")
    recipe = Recipe(str(tmp_path / "clip"), keep=4)
    done = run(Worker(recipe), photos, tmp_path / "out")
    assert done.encoded == 0
    reason = "has features that are not finite in float16: try --dtype float32"
    assert sum(why == reason for _, why in done.skipped) == SCENES
    run(Worker(replace(recipe, dtype="float32")), photos, tmp_path / "out", overwrite=True)
    assert rows(tmp_path / "out")[1].max() > 65504


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 50), (50, 1)])
def test_a_picture_as_wide_as_a_colour_is_deep(worker: Worker, size: tuple[int, int]):
    """Image processors guess where the channels are, and guess wrong for these."""
    made = worker._pixels_of(Image.new("RGB", size, (255, 0, 128)))
    expected = worker._pixels_of(Image.new("RGB", (96, 96), (255, 0, 128)))
    torch.testing.assert_close(made, expected)


def test_a_processor_of_several_tiles_is_refused(recipe: Recipe, monkeypatch: pytest.MonkeyPatch):
    def tiles(self: object, images: object, **_: object) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.zeros(1, 5, 3, 96, 96)}  # as LLaVA-NeXT's

    monkeypatch.setattr("transformers.CLIPImageProcessorPil.__call__", tiles)
    with pytest.raises(Refused, match="makes several tiles of a picture"):
        Worker(recipe)
