"""What can be changed in a copy of a checkpoint, the commands that then read it, and how they refuse it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from typer.testing import Result

Change = Callable[[Path], object]
CONFIG, PROCESSOR, TOKENIZER, GENERATION, WEIGHTS = (
    "config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "generation_config.json",
    "model.safetensors",
)


def key(file: str, *keys: str, value: Any) -> Change:
    """One key of a JSON file is another."""

    def change(folder: Path) -> None:
        settings = json.loads((folder / file).read_text())
        inner = settings
        for name in keys[:-1]:
            inner = inner[name]
        inner[keys[-1]] = value
        (folder / file).write_text(json.dumps(settings))

    return change


def vision(name: str, value: Any) -> Change:
    return key(CONFIG, "vision_config", name, value=value)


def text(name: str, value: Any) -> Change:
    return key(CONFIG, "text_config", name, value=value)


def pictures(name: str, value: Any) -> Change:
    return key(PROCESSOR, "image_processor", name, value=value)


def both(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def template(words: str) -> Change:
    return lambda folder: (folder / "chat_template.jinja").write_text(words)


def tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    return lambda folder: save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, {"format": "pt"})


PICTURES = "ask show encode folder"  # commands that have pictures processed
TOWER = f"{PICTURES} export"


def commands(folder: Path, names: str) -> dict[str, list[Any]]:
    every: dict[str, list[Any]] = {
        "ask": ["ask", "photo.jpg", "what ?", "--model", folder],
        "show": ["show", "photo.jpg", "--model", folder],
        "encode": ["encode", "photo.jpg", "out", "--model", folder],
        "export": ["export", folder, "e.onnx"],
        "folder": ["export", folder, "onnx", "--layout", "onnx-community"],
        "tune": ["tune", "photo.jpg", "--question", "what ?", "--model", folder],
    }
    return {name: words for name, words in every.items() if name in names.split()}


def assert_refused(result: Result, message: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
