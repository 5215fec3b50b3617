"""The folder that `vtc page` writes: what is in it, and that it is there as a whole or not at all."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from transformers import AutoConfig

import vtc_page
import vtc_tiny
from vtc_page import language, libraries


def tree(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def page(checkpoint: Path, npm: Path, tmp_path: Path) -> vtc_page.Page:
    return vtc_page.build(checkpoint, tmp_path / "page", 5, "visionzip")


def test_a_page(page: vtc_page.Page, checkpoint: Path):
    """One build, looked at from all sides: it takes seconds."""
    lib = {"lib/LICENSE", "lib/transformers.min.js"}
    lib |= {f"lib/ort-wasm-simd-threaded.asyncify.{kind}" for kind in ("mjs", "wasm")}
    model = {f"model/onnx/{part}.onnx" for part in ("vision_encoder", "embed_tokens", "decoder_model_merged")}
    model |= {f"model/{name}.json" for name in ("config", "preprocessor_config", "tokenizer", "tokenizer_config")}
    scenes = {f"scenes/{number}.png" for number in range(8)}
    written = tree(page.path)
    assert lib | model | scenes | {"index.html", "page.css", "page.js", "about.js", "page.json"} <= written
    assert {name for name in written if name.startswith("lib/")} == lib
    assert (page.path / "lib" / "transformers.min.js").read_text() == "dist/transformers.min.js"
    assert page.model + page.wasm + page.rest == sum((page.path / name).stat().st_size for name in written)
    assert page.wasm == len("dist/ort-wasm-simd-threaded.asyncify.wasm")
    assert page.encoder.path.is_file()
    assert vtc_page.is_page(page.path)
    assert {path.name for path in page.path.parent.iterdir()} == {"page", "npm"}  # nothing beside it
    assert page.path.stat().st_mode & 0o777 == page.path.parent.joinpath("npm").stat().st_mode & 0o777

    about = json.loads((page.path / "page.json").read_text())
    assert (about["tokens"], about["keep"], about["method"]) == (36, 5, "visionzip")
    assert about["prompt"] == ["USER: <image>\n", " ASSISTANT:"]
    assert about["note"] == ""
    parts = ("vision_encoder", "embed_tokens", "decoder_model_merged")
    assert about["files"] == {part: {"dtype": "fp32", "data": 0} for part in parts}
    assert list(about["scenes"][0]["questions"].items()) == [
        (q.text, q.answer) for q in vtc_tiny.questions(vtc_tiny.scene(0))
    ]
    assert "purple diamond top right" in about["scenes"][0]["shows"]

    encoder = onnxruntime.InferenceSession(page.path / "model" / "onnx" / "vision_encoder.onnx")
    assert [x.name for x in encoder.get_inputs()] == ["pixel_values", "keep"]
    assert [x.name for x in encoder.get_outputs()] == ["image_features", "indices", "scores", "weights"]
    embed = onnxruntime.InferenceSession(page.path / "model" / "onnx" / "embed_tokens.onnx")
    hidden = AutoConfig.from_pretrained(checkpoint).text_config.hidden_size
    embeddings: Any = embed.run(None, {"input_ids": np.array([[1, 2, 3]])})[0]
    assert embeddings.shape == (1, 3, hidden)


def test_what_goes_wrong_leaves_what_was_there(checkpoint: Path, npm: Path, tmp_path: Path, monkeypatch):
    """npm comes last: all else is made by then."""
    out = tmp_path / "page"
    out.mkdir()
    (out / "page.json").write_text("{}")
    npm.write_text("#!/bin/sh\necho 'npm error code E404' >&2\necho 'npm error 404 Not Found' >&2\nexit 1\n")
    monkeypatch.setattr(language, "complete", lambda source, folder: None)
    monkeypatch.setattr(language, "files", lambda folder: {})
    with pytest.raises(RuntimeError, match=r"^npm cannot get @huggingface/transformers@\S+: 404 Not Found$"):
        vtc_page.build(checkpoint, out, 5, overwrite=True)
    assert tree(tmp_path) == {"page/page.json", "npm/npm", "npm/0.tgz", "npm/1.tgz"}


def test_another_archive_than_the_one_that_is_meant_is_refused(npm: Path, tmp_path: Path):
    with (npm.parent / "0.tgz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(RuntimeError, match="is not the archive that was published under this name"):
        libraries.copy(tmp_path)
    assert not list(tmp_path.glob("*.js"))


def test_places_that_are_refused(checkpoint: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.json").touch()
    for name, overwrite, message in [
        ("nowhere/page", False, "there is no folder .*nowhere to write page to"),
        ("mine", True, "mine is there already and is no page of vtc: name another"),
        ("file", True, "file is there already and is no page of vtc: name another"),
        ("page", False, "page is there already: pass overwrite=True to replace it"),
    ]:
        with pytest.raises((ValueError, OSError), match=message):
            vtc_page.build(checkpoint, tmp_path / name, 5, overwrite=overwrite)
    (tmp_path / "empty").mkdir()
    vtc_page.check_place(tmp_path / "empty", False)
    vtc_page.check_place(tmp_path / "page", True)


def test_without_npm_the_error_says_what_it_is_for(checkpoint: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"^npm is needed once, to fetch \S+ and onnxruntime-web@\S+: install"):
        vtc_page.build(checkpoint, tmp_path / "page", 5)


def test_of_several_language_models_the_smallest_is_taken(checkpoint: Path, tmp_path: Path):
    """With its external data; nothing is exported."""
    onnx = tmp_path / "onnx"
    onnx.mkdir()
    for name, size in [
        ("embed_tokens_fp16.onnx", 5),
        ("decoder_model_merged.onnx", 1),
        ("decoder_model_merged.onnx_data", 90),
        ("decoder_model_merged_q4.onnx", 1),
        ("decoder_model_merged_q4.onnx_data", 20),
        ("decoder_model_merged_q4.onnx_data_1", 20),
        ("decoder_model_merged_quantized.onnx", 50),
        ("vision_encoder_int8.onnx", 7),
    ]:
        (onnx / name).write_bytes(bytes(size))
    language.complete("no checkpoint is read", tmp_path)
    assert language.files(tmp_path) == {
        "vision_encoder": {"dtype": "int8", "data": 0},
        "embed_tokens": {"dtype": "fp16", "data": 0},
        "decoder_model_merged": {"dtype": "q4", "data": 2},
    }
    assert len(tree(tmp_path)) == 5


def test_language_models_that_are_refused(checkpoint: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(language, "MOST", 1000)
    with pytest.raises(
        ValueError, match=r"has no language model in onnx/, and this one is too large to be exported here"
    ):
        language.check(str(checkpoint))
    shutil.copytree(checkpoint, tmp_path / "half")
    (tmp_path / "half" / "onnx").mkdir()
    (tmp_path / "half" / "onnx" / "embed_tokens.onnx").touch()
    with pytest.raises(
        ValueError, match=r"half/onnx holds the other part of a language model, but no decoder_model_merg"
    ):
        language.check(str(tmp_path / "half"))
