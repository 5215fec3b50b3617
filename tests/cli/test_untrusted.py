"""Checkpoints that bring code, pickles or paths: nothing is run, nothing is asked, nothing outside is read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from vtc_cli.app import app

from .running import Vtc
from .spoiling import (
    CONFIG,
    PICTURES,
    PROCESSOR,
    TOWER,
    WEIGHTS,
    Change,
    assert_refused,
    commands,
    key,
    pictures,
    text,
)


def brings_code(*changes: Change) -> list[Change]:
    code = "open('WAS RUN', 'w').close()\nclass Own: pass\n"
    return [*changes, lambda folder: (folder / "own.py").write_text(code)]


AUTO_MAP = {name: "own.Own" for name in ("AutoConfig", "AutoModel", "AutoProcessor", "AutoImageProcessor")}
CODE = {
    "model": (f"{TOWER} tune", brings_code(
        key(CONFIG, "model_type", value="own"), key(CONFIG, "auto_map", value=AUTO_MAP))),
    "part": (f"{TOWER} tune", brings_code(text("model_type", "aimv2_text_model"), text("auto_map", AUTO_MAP))),
    "processor": ("ask folder tune", brings_code(
        key(PROCESSOR, "processor_class", value="Own"), key(PROCESSOR, "auto_map", value=AUTO_MAP))),
    "image processor": (f"{PICTURES} tune", brings_code(
        pictures("image_processor_type", "Own"), pictures("auto_map", AUTO_MAP))),
}  # fmt: skip


@pytest.mark.usefixtures("photo", "no_weights")
@pytest.mark.parametrize("whose", CODE)
def test_code_of_a_checkpoint_is_never_run_nor_asked_about(
    spoilt: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
):
    names, changes = CODE[whose]
    spoilt(*changes)
    monkeypatch.chdir(tmp_path)
    for words in commands(Path("F"), names).values():
        result = CliRunner().invoke(app, [str(word) for word in words], prog_name="vtc", input="y\ny\ny\n")
        assert_refused(
            result, "code that comes with a checkpoint is never run here: only what transformers itself knows"
        )
        assert "[y/N]" not in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"F", "photo.jpg"}


@pytest.mark.usefixtures("photo")
def test_a_known_model_with_code_beside_it_is_read_without_it(spoilt: Callable[..., Path], vtc: Vtc):
    spoilt(*brings_code(key(CONFIG, "auto_map", value=AUTO_MAP), pictures("auto_map", AUTO_MAP)))
    for words in commands(Path("F"), "ask show encode").values():
        assert vtc(*words).exit_code == 0
    assert not Path("WAS RUN").exists()


def pickled(folder: Path) -> None:
    held = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(held)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: held[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


class Evil:
    def __reduce__(self) -> Any:
        return open, ("WAS RUN", "w")


@pytest.mark.usefixtures("photo", "no_weights")
def test_pickles_that_hold_more_than_tensors(vtc: Vtc, spoilt: Callable[..., Path]):
    spoilt(pickled, lambda folder: torch.save({"x": Evil()}, folder / "pytorch_model-00002-of-00002.bin"))
    for words in commands(Path("F"), TOWER).values():
        assert_refused(
            vtc(*words), "pytorch_model-00002-of-00002.bin is a pickle that holds more than tensors, which could"
        )
    assert not Path("WAS RUN").exists()


@pytest.mark.usefixtures("photo", "no_weights")
@pytest.mark.parametrize("file", ["../model.safetensors", "/model.safetensors", "a/../../b", "", None])
def test_an_index_that_leads_elsewhere(vtc: Vtc, spoilt: Callable[..., Path], file: Any):
    def elsewhere(folder: Path) -> None:
        shutil.move(folder / WEIGHTS, folder.parent / WEIGHTS)
        names = load_file(folder.parent / WEIGHTS)
        index = {"metadata": {}, "weight_map": dict.fromkeys(names, file)}
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))

    spoilt(elsewhere)
    for words in commands(Path("F"), TOWER).values():
        assert_refused(vtc(*words), f"an index of weights must name files of the checkpoint's own folder, got {file!r}")
