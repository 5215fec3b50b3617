"""`vtc export`: the file, and refusals that leave nothing behind."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import make_tower
from transformers import AutoImageProcessor

import vtc_llava
import vtc_onnx
import vtc_tiny
from vtc_cli.pictures import open_picture
from vtc_core.methods import VtcCls
from vtc_onnx import verifying

from .exporting import COMPARED, LAYOUT, size, tree
from .running import Vtc


def test_a_file_for_every_budget(vtc: Vtc, photo: Path, checkpoint: Path):
    result = vtc("export", checkpoint, "small.onnx", "--layers", 2, "--reduce", "max")
    assert result.exit_code == 0, result.output
    written, compared = result.stdout.splitlines()
    counted = "4 of 36 visual tokens (1/9, as --keep is not given)"
    assert written == f"small.onnx: {size(Path('small.onnx'))}, {counted}, unless the input keep says otherwise"
    assert compared.startswith(COMPARED)

    processor = AutoImageProcessor.from_pretrained(checkpoint)
    pixels = processor(images=open_picture(photo), return_tensors="pt")["pixel_values"]
    encoder = vtc_onnx.PrunedEncoder("small.onnx")
    assert encoder.keep == 4
    for keep in (4, 20):
        model, _ = vtc_llava.load(str(checkpoint), keep, 2, "max")
        with torch.inference_mode():
            features = model.model.get_image_features(pixels).pooler_output[0].numpy()
        got = encoder(pixels.numpy(), keep)
        np.testing.assert_array_equal(got.indices, model.vtc.last.indices)
        np.testing.assert_allclose(got.features[0], features, atol=1e-3 * np.abs(features).max())


def test_settings_reach_the_file(vtc: Vtc, checkpoint: Path):
    Path("small.onnx").write_text("something older")
    words = ("--keep", 5, "--static-keep", "--dtype", "float16", "--overwrite")
    result = vtc("export", checkpoint, "small.onnx", *words)
    assert result.exit_code == 0, result.output
    assert ", 5 of 36 visual tokens, fixed\n" in result.stdout
    metadata = vtc_onnx.PrunedEncoder("small.onnx").metadata
    assert (metadata.keep, metadata.static_keep, metadata.dtype, metadata.layers) == (5, True, "float16", [1, 2, 3])


def test_what_torch_contradicts_does_not_stay(vtc: Vtc, checkpoint: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(verifying, "TOLERANCES", {"float32": -1.0})
    result = vtc("export", checkpoint, "small", *LAYOUT)
    assert result.exit_code == 1
    assert result.stderr.startswith("vtc: RuntimeError: ")
    assert "of the exported file differ" in result.stderr
    assert tree(tmp_path) == set()


@pytest.mark.parametrize("layout", [(), LAYOUT])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", 0], "keep must be an integer in [1, 36] (the number of patch tokens), got 0"),
        (["--keep", 37], "keep must be an integer in [1, 36] (the number of patch tokens), got 37"),
        (["--layers", 5], "layers must be an integer in [1, 4] (the layers up to the feature layer), got 5"),
        (["--quantize", "int8", "--dtype", "float16"], "quantize='int8' leaves the rest in float32: dtype must be"),
    ],
)
def test_numbers_that_do_not_fit(vtc: Vtc, checkpoint: Path, tmp_path: Path, layout, options: list, message: str):
    result = vtc("export", checkpoint, "small.onnx", *layout, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"vtc: {message}")
    assert result.stderr.count("\n") == 1
    assert tree(tmp_path) == set()


def test_places_where_nothing_can_be_written(vtc: Vtc, tmp_path: Path):
    """Refused before the checkpoint is looked for: there is none."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").touch()
    (tmp_path / "file.onnx").touch()
    before = tree(tmp_path)
    for words, message in [
        (["folder"], "folder is a folder: a file is wanted, or --layout onnx-community"),
        (["model.bin"], "model.bin must end in .onnx"),
        (["nowhere/model.onnx"], "nowhere/model.onnx: there is no folder nowhere"),
        (["file.onnx"], "file.onnx is there already: --overwrite replaces it"),
        (["nowhere/folder", *LAYOUT], "there is no folder nowhere to write folder to"),
        (["file.onnx", *LAYOUT], "file.onnx is a file: the onnx-community layout is a folder"),
        (["folder", *LAYOUT], "folder/notes.txt is there already: --overwrite replaces it"),
    ]:
        result = vtc("export", "no/such/checkpoint/anywhere", *words)
        assert (result.exit_code, result.stderr) == (2, f"vtc: {message}\n")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("words", [("model.onnx",), ("folder", *LAYOUT)])
def test_a_place_that_is_closed(vtc: Vtc, words: tuple[str, ...], monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root, who may write anywhere, tests as well
    result = vtc("export", "no/such/checkpoint/anywhere", *words)
    assert (result.exit_code, result.stderr) == (2, f"vtc: {words[0]} cannot be written: permission denied\n")


def test_checkpoints_that_are_none(vtc: Vtc, checkpoint: Path, photo: Path, tmp_path: Path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in checkpoint.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes()[:3000])
    make_tower().save_pretrained(tmp_path / "clip")
    before = tree(tmp_path)
    for words, message in [
        ([tmp_path, "a.onnx"], f"MODEL {tmp_path} is a folder without a config.json: not a checkpoint"),
        ([photo, "a.onnx"], f"MODEL {photo} is a file: a folder or a hub id is needed"),
        ([damaged, "a.onnx"], "SafetensorError: Error while deserializing header"),
        ([tmp_path / "clip", "a", *LAYOUT], f"{tmp_path / 'clip'} is of model_type 'clip_vision_model': the onnx-"),
        ([checkpoint, checkpoint, *LAYOUT, "--overwrite"], f"{checkpoint} is the checkpoint itself, and would no"),
    ]:
        result = vtc("export", *words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"vtc: {message}")
        assert result.stderr.count("\n") == 1
    assert tree(tmp_path) == before


def test_the_embedded_model_by_its_word(vtc: Vtc, monkeypatch):
    """Needs the embedded config."""
    asked = []

    def export(source: str, path: Path, *settings: Any, **options: Any) -> vtc_onnx.Report:
        asked.append((source, path, *settings))
        return vtc_onnx.Report(path, 10**6, 144, 0.0, 1.0, 1.0)

    monkeypatch.setattr(vtc_onnx, "export", export)
    result = vtc("export", "embedded", "tiny.onnx")
    assert result.exit_code == 0, result.output
    assert asked == [(str(vtc_tiny.PATH), Path("tiny.onnx"), 16, VtcCls())]
    assert result.stdout.startswith("tiny.onnx: 1.00 MB, 16 of 144 visual tokens (1/9, as --keep is not given), ")
