"""Checkpoints whose tensors are missing, of other shapes or types, or not finite: one line."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from .running import Vtc
from .spoiling import (
    CONFIG,
    Change,
    assert_refused,
    commands,
    key,
    tensors,
)


@pytest.mark.usefixtures("photo")
@pytest.mark.parametrize(
    ("names", "change", "message"),
    [
        ("ask", lambda held: {n: t for n, t in held.items() if "layers.1.mlp.fc1" not in n}, "(2 in all): model.visio"),
        ("show encode export folder", lambda held: {n: t for n, t in held.items() if "layers.1.mlp.fc1" not in n},
         "lacks tensors of its vision tower (2 in all): encoder.layers.1.mlp.fc1.bias, encoder.layers.1.mlp.fc1.weigh"),
        ("ask", lambda held: {n: t for n, t in held.items() if "projector" not in n}, "F lacks tensors of the model ("),
        ("export folder", lambda held: {n: t for n, t in held.items() if "projector" not in n}, "lacks tensors of its"),
        ("ask", lambda held: {n: t[:9] if "lm_head" in n else t for n, t in held.items()},
         "F has tensors of other shapes than its config.json says (1 in all): lm_head.weight (wanted (18, 32), found "),
        ("show encode", lambda held: {n: t[:9] if n.endswith("layers.0.mlp.fc1.bias") else t for n, t in held.items()},
         "says (1 in all): encoder.layers.0.mlp.fc1.bias (wanted (64,), found (9,))"),
        ("show encode export folder",
         lambda held: {n: t.to(torch.int8) if "vision_tower" in n else t for n, t in held.items()},
         "the vision tower of F is quantised (vision_tower.encoder.layers.0.layer_norm1.bias is I8)"),
        ("export folder",
         lambda held: {n: t.to(torch.int8) if "projector" in n else t for n, t in held.items()},
         "the projector of F is quantised (multi_modal_projector.linear_1.bias is I8), and alone it can be read in"),
    ],
)  # fmt: skip
def test_tensors_that_are_missing_or_others(
    vtc: Vtc, spoilt: Callable[..., Path], caplog: pytest.LogCaptureFixture, names: str, change: Any, message: str
):
    """And transformers' own report, pages of it, is not heard."""
    spoilt(tensors(change))
    for words in commands(Path("F"), names).values():
        with caplog.at_level(logging.WARNING):
            assert_refused(vtc(*words), message)
    assert "LOAD REPORT" not in caplog.text
    assert {path.name for path in Path.cwd().iterdir()} == {"F", "photo.jpg"}


@pytest.mark.usefixtures("photo")
def test_numbers_that_are_not_finite(vtc: Vtc, spoilt: Callable[..., Path]):
    def of(part: str) -> Change:
        return tensors(lambda held: {n: t * float("nan") if part in n else t for n, t in held.items()})

    folder = spoilt(of("encoder.layers.1.mlp.fc1.weight"))
    words = commands(Path("F"), "ask")["ask"]
    result = vtc(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "vtc: the features of the vision tower are not finite in float32\n"
    shutil.rmtree(folder)
    spoilt(of("lm_head"))
    result = vtc(*words, "--dtype", "float16")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == ("vtc: the logits of the language model are not finite in float16: try --dtype float32\n")


@pytest.mark.usefixtures("photo")
def test_only_the_language_model_quantised(vtc: Vtc, spoilt: Callable[..., Path]):
    """What is read of it is in floating point, and needs no library that reads the rest."""
    spoilt(key(CONFIG, "quantization_config", value={"quant_method": "bitsandbytes", "load_in_8bit": True}))
    for words in commands(Path("F"), "show encode export").values():
        result = vtc(*words)
        assert result.exit_code == 0, result.stderr
