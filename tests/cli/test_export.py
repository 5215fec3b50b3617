"""`vtc export`: the file, the folder, and refusals that leave nothing behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import make_tower
from transformers import AutoImageProcessor, AutoProcessor
from typer.testing import CliRunner, Result

import vtc_llava
import vtc_onnx
import vtc_tiny
from vtc_cli.app import app
from vtc_cli.pictures import open_picture
from vtc_core.methods import VtcCls
from vtc_onnx import verifying, writing

Vtc = Callable[..., Result]
COMPARED = "compared with torch: 100.0% of the kept tokens are the same, features differ by "
LAYOUT = ("--layout", "onnx-community")


def size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.2f} MB"


def tree(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder in the onnx-community layout, and what was said about it; no language model in it yet."""
    folder = tmp_path_factory.mktemp("exported") / "small"
    words = ["export", str(checkpoint), str(folder), *LAYOUT, "--keep", "9"]
    return folder, CliRunner().invoke(app, words, prog_name="vtc")


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


def test_the_folder(exported: tuple[Path, Result], checkpoint: Path, photo: Path):
    folder, result = exported
    assert result.exit_code == 0, result.output
    assert tree(folder) >= {"config.json", "preprocessor_config.json", "tokenizer.json", "onnx/vision_encoder.onnx"}
    assert tree(folder.parent) == {folder.name, *(f"{folder.name}/{name}" for name in tree(folder))}
    said = " ".join(result.stdout.split())
    assert f"onnx/vision_encoder.onnx {size(folder / 'onnx' / 'vision_encoder.onnx')} 9 of 36 visual tokens" in said
    assert "onnx/embed_tokens.onnx not there" in said
    assert "config and processor 9 placeholders a picture" in said
    assert COMPARED in said
    assert "pruning does not change what is not there" in result.stderr

    processor = AutoProcessor.from_pretrained(folder)
    ids = processor(images=open_picture(photo), text="<image> what ?", return_tensors="np")["input_ids"][0]
    patched = vtc_llava.load(str(checkpoint), 9)[1]
    assert ids.tolist() == patched(images=open_picture(photo), text="<image> what ?")["input_ids"][0]


def test_the_folder_says_what_transformersjs_asks(exported: tuple[Path, Result]):
    """Read from its source (4.3): the processor writes floor(height / patch_size) * floor(width / patch_size) +
    num_additional_image_tokens placeholders; file names and cache sizes come from config.json, without defaults."""
    folder, _ = exported

    def read(name: str) -> dict[str, Any]:
        return json.loads((folder / name).read_text())

    processor, config = read("processor_config.json"), read("config.json")
    height, width = read("preprocessor_config.json")["crop_size"].values()
    patch = processor["patch_size"]
    assert height // patch * (width // patch) + processor["num_additional_image_tokens"] == 9
    assert config["image_seq_length"] == 9
    assert config["transformers.js_config"]["dtype"] == {"vision_encoder": "fp32"}
    assert {"num_key_value_heads", "num_hidden_layers", "head_dim", "model_type"} <= config["text_config"].keys()
    assert read("preprocessor_config.json")["processor_class"] == "LlavaProcessor"
    session = vtc_onnx.PrunedEncoder(folder / "onnx" / "vision_encoder.onnx")._session
    assert [node.name for node in session.get_inputs()] == ["pixel_values"]
    assert session.get_outputs()[0].name == "image_features"


def test_a_language_model_that_is_there_stays(vtc: Vtc, checkpoint: Path, tmp_path: Path, monkeypatch):
    """Its files, and what its exporter told transformers.js of them. Here the encoder's weights need a second file."""
    monkeypatch.setattr(writing, "MOST", 0)
    folder = tmp_path / "there"
    (folder / "onnx").mkdir(parents=True)
    ours = {"embed_tokens_q4.onnx", "decoder_model_merged_q4.onnx", "decoder_model_merged_q4.onnx_data"}
    for name in ours:
        (folder / "onnx" / name).write_text(name)
    told = {"dtype": "q4", "use_external_data_format": {"decoder_model_merged": 1, "vision_encoder.onnx": 3}}
    (folder / "config.json").write_text(json.dumps({"transformers.js_config": told}))
    refused = vtc("export", checkpoint, folder, *LAYOUT)
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"vtc: {folder / 'config.json'} is there already, and overwrite is not set\n",
    )

    result = vtc("export", checkpoint, folder, *LAYOUT, "--overwrite")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert {name: (folder / "onnx" / name).read_text() for name in ours} == {name: name for name in ours}
    assert "onnx/decoder_model_merged_q4.onnx_data 0.00 MB as it was" in " ".join(result.stdout.split())
    settings = json.loads((folder / "config.json").read_text())["transformers.js_config"]
    assert settings == {
        "dtype": {"embed_tokens": "q4", "decoder_model_merged": "q4", "vision_encoder": "fp32"},
        "use_external_data_format": {"decoder_model_merged": 1, "vision_encoder": True},
    }
    assert (folder / "onnx" / "vision_encoder.onnx_data").stat().st_size > 10_000
    assert not list(folder.rglob("*.data"))
    vtc_onnx.PrunedEncoder(folder / "onnx" / "vision_encoder.onnx")


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
        (["folder", *LAYOUT], "folder/notes.txt is there already, and overwrite is not set"),
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
