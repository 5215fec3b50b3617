"""`vtc export --layout onnx-community`: the folder, what transformers.js asks of it, and what was there already."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor
from typer.testing import CliRunner, Result

import vtc_llava
import vtc_onnx
from vtc_cli.app import app
from vtc_cli.pictures import open_picture
from vtc_onnx import writing

from .exporting import COMPARED, LAYOUT, size, tree
from .running import Vtc


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder in the onnx-community layout, and what was said about it; no language model in it yet."""
    folder = tmp_path_factory.mktemp("exported") / "small"
    words = ["export", str(checkpoint), str(folder), *LAYOUT, "--keep", "9"]
    return folder, CliRunner().invoke(app, words, prog_name="vtc")


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
        f"vtc: {folder / 'config.json'} is there already: --overwrite replaces it\n",
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
