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
from vtc_encode import Recipe, Refused, Worker, open_source
from vtc_encode.worker import AHEAD
from vtc_pictures import Unreadable
from vtc_torch import PrunedEncoder

from .encoding import BROKEN, SCENES, rows, run, skipped


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


def test_unreadable_pictures_are_listed_with_the_reason(worker: Worker, photos: Path, tmp_path: Path):
    done = run(worker, photos, tmp_path)
    listed = skipped(tmp_path)
    assert list(listed) == list(BROKEN)  # in the order of INPUT
    assert all(listed[name].startswith(reason) for name, reason in BROKEN.items())
    assert done.skipped == list(listed.items())


def test_what_is_missing_or_a_folder_is_skipped_too(worker: Worker, tmp_path: Path):
    folder = tmp_path / "in"
    (folder / "sub.png").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (9, 9)).save(folder / name)
    (folder / "broken.png").symlink_to(folder / "nowhere.png")
    source = open_source(str(folder))
    (folder / "a.png").unlink()  # after it was listed
    settings = worker.settings(source, 8)
    ((outcome, made),) = worker.encode(source, settings, [0], lambda count: None)
    assert (outcome.encoded, outcome.skipped) == (1, 2)
    assert made.ids == ["b.png"]
    assert made.skipped == [("a.png", "is not there"), ("broken.png", "is not there")]


def test_strict_stops_at_the_first_one_by_name(recipe: Recipe, photos: Path, tmp_path: Path):
    with pytest.raises(Unreadable, match=r"^cut\.png is damaged or truncated"):
        run(Worker(replace(recipe, strict=True)), photos, tmp_path)
    assert not (tmp_path / "skipped.parquet").exists()


def test_a_disk_that_fails_is_no_unreadable_picture(worker: Worker, photos: Path, tmp_path: Path, monkeypatch):
    def fail(path: Path, mode: str) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("vtc_pictures.opening.open", fail, raising=False)
    with pytest.raises(OSError, match="Input/output error"):
        run(worker, photos, tmp_path)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_shard_of_nothing_but_unreadable_pictures(worker: Worker, tmp_path: Path):
    (tmp_path / "in").mkdir()
    for i in range(5):
        (tmp_path / "in" / f"{i}.png").touch()
    vtc_tiny.scene(0).image.save(tmp_path / "in" / "9.png")
    done = run(worker, tmp_path / "in", tmp_path / "out", shard_size=3)
    assert (done.shards, done.encoded, len(done.skipped)) == (2, 1, 5)
    ids, features, *_ = rows(tmp_path / "out")
    assert (ids, features.shape) == (["9.png"], (1, 16, 96))


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


@pytest.mark.parametrize("strict", [False, True])
def test_features_that_are_not_finite_are_skipped_by_name(
    recipe: Recipe, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool
):
    worker = Worker(replace(recipe, strict=strict))
    encoded, seen = worker._encoded, []

    def one_of_them(pixels: torch.Tensor) -> Any:
        features, *others = encoded(pixels)
        if not seen:
            features[1, 3, 5] = np.nan
            features[2, 0, 0] = np.inf
        seen.append(features)
        return features, *others

    (tmp_path / "in").mkdir()
    for seed in range(5):
        vtc_tiny.scene(seed).image.save(tmp_path / "in" / f"{seed}.png")
    (tmp_path / "in" / "00.png").write_bytes(b"none")  # skipped before the encoder: order is INPUT's all the same
    monkeypatch.setattr(worker, "_encoded", one_of_them)
    if strict:
        with pytest.raises(Unreadable, match=r"^00\.png is not a picture"):
            run(worker, tmp_path / "in", tmp_path / "out")
        return
    run(worker, tmp_path / "in", tmp_path / "out")
    ids, features, *_ = rows(tmp_path / "out")
    assert ids == ["0.png", "3.png", "4.png"]
    np.testing.assert_array_equal(features, np.concatenate([seen[0][[0]], seen[1]]))
    assert list(skipped(tmp_path / "out")) == ["00.png", "1.png", "2.png"]
    assert skipped(tmp_path / "out")["2.png"] == "has features that are not finite in float32"


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
