"""Methods that read the prompt where there is none: refused by name, before anything is read or made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_models import clip_config, make_tower, picture, save_llava
from transformers import LlavaConfig
from typer.testing import CliRunner

import vtc_llava
from vtc_cli.app import app
from vtc_core.methods import METHODS, method_of, reads_prompt
from vtc_encode import Recipe, Refused, Worker
from vtc_jax import PrunedEncoder as JaxEncoder
from vtc_onnx import export
from vtc_page import build
from vtc_torch import PrunedEncoder
from vtc_vllm.settings import served

READING = [name for name, kind in METHODS.items() if reads_prompt(kind)]
NOWHERE = "/nowhere"  # where it is refused, nothing is looked for


def configured(**more: Any) -> LlavaConfig:
    return LlavaConfig.from_dict({"vision_config": clip_config().to_dict(), **more})


PLACES: dict[str, tuple[str, Callable[[str, Path], Any]]] = {
    "an encoder": ("an encoder by itself is given none", lambda name, _: PrunedEncoder(make_tower(), 5, name)),
    "an encoder to be read": (
        "an encoder by itself is given none",
        lambda name, _: PrunedEncoder.from_pretrained(NOWHERE, 5, name),
    ),
    "JAX": (
        "an encoder by itself is given none",
        lambda name, folder: JaxEncoder.from_pretrained(save_llava(folder / "llava"), 5, name),
    ),
    "ONNX": ("a graph of an encoder is given none", lambda name, folder: export(NOWHERE, folder / "e.onnx", 5, name)),
    "the page": (
        "the page encodes a picture before anything is asked",
        lambda name, folder: build(NOWHERE, folder / "page", 5, name),
    ),
    "a corpus": (
        "a corpus is encoded before anything is asked",
        lambda name, _: Worker(Recipe(NOWHERE, 5, method_of(name))),
    ),
    "a picture alone": (
        "it is shown a picture alone",
        lambda name, _: vtc_llava.show(NOWHERE, "a.png", 5, method=name),
    ),
    "vLLM": (
        "vLLM encodes a picture once, for all prompts that it comes in",
        lambda name, _: served(configured(vtc={"keep": 5, "method": name}), "m"),
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", READING)
def test_a_method_that_reads_the_prompt_is_refused(place, name, tmp_path):
    why, call = PLACES[place]
    with pytest.raises((ValueError, Refused), match=f"^method '{name}' reads the prompt, and {why}: take "):
        call(name, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name != "llava"]


COMMANDS = {
    "show": ["show", "IMAGE"],
    "encode": ["encode", "FOLDER", "OUT"],
    "export": ["export", NOWHERE, "OUT"],
    "page": ["page", "OUT"],
    "bench": ["bench", "encoder"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_says_so_in_one_line(command, tmp_path):
    picture(0).save(tmp_path / "a.png")
    paths = {"IMAGE": str(tmp_path / "a.png"), "FOLDER": str(tmp_path), "OUT": str(tmp_path / "out")}
    words = [paths.get(word, word) for word in COMMANDS[command]]
    result = CliRunner().invoke(app, [*words, "--method", "mmtok"])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "method 'mmtok' reads the prompt, and " in line
    assert not (tmp_path / "out").exists()


def test_some_methods_read_the_prompt_and_the_default_does_not():
    assert READING == ["mmtok", "catp-text", "cdpruner", "trim"]
    assert not reads_prompt(method_of("vtc-cls"))
