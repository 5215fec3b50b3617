"""The catalogue of stages stays small, and its README is true."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from stages.asking import ask, picture, running

import vtc_core
from vtc_core.methods import saved, spelled
from vtc_core.stages import STAGES, Running, stage_of

FOLDER = Path(vtc_core.__file__).parent / "stages"
README = (FOLDER / "README.md").read_text()
MACHINERY = {"__init__", "attention", "budgets", "catalogue", "ends", "peaks", "schedule", "spelling", "stage"}


def test_every_file_is_short_and_listed():
    files = {path.stem: len(path.read_text().splitlines()) for path in FOLDER.glob("*.py")}
    assert max(files.values()) <= 120, files
    assert set(files) - MACHINERY == {kind.__module__.rpartition(".")[2] for kind in STAGES.values()}


def test_the_readme_has_every_stage_and_every_field():
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert names == [*STAGES, *Running._fields]
    for name in re.findall(r"\]\((\S+?)\)", README):
        assert name.startswith("https://") or (FOLDER / name).exists(), name


@pytest.mark.parametrize("name", STAGES)
def test_the_table_has_the_source_and_the_layers_of_the_stage(name):
    (row,) = (line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
    *_, layers, source, _ = row.split("|")
    number = STAGES[name].source.removeprefix("arXiv ")
    assert source.strip() == f"[{number}](https://arxiv.org/abs/{number})"
    cuts = [layer for layer, _ in STAGES[name]().schedule(32, 576)]
    told = [int(number) for number in re.findall(r"\d+", layers)]
    if " to " in layers:
        assert cuts == list(range(told[0], told[1] + 1))
    elif "/" in layers:
        assert cuts == [32 * told[0] // told[1]]
    else:
        assert cuts == told


@pytest.fixture
def example(tmp_path):
    """The stage of the README, from its own file."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "longest.py").write_text(code)
    spec = importlib.util.spec_from_file_location("longest", tmp_path / "longest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Longest


def test_the_stage_of_the_readme_chooses_and_has_a_name_once_listed(example, monkeypatch):
    hidden = np.random.default_rng(0).standard_normal((2, 15, 6)).astype("f4")
    stage = example(keep=0.3)
    assert stage.schedule(32, 10) == ((2, 3),)
    lengths = np.linalg.norm(hidden[:, 2:12].astype("f8"), axis=2)
    wanted = [sorted(np.argsort(-row)[:3].tolist()) for row in lengths]
    for backend in ("numpy", "torch", "jax"):
        assert ask(backend, stage, running(picture(2, 10, 2), hidden=hidden), 3).indices.tolist() == wanted
    monkeypatch.setitem(STAGES, "longest", example)
    assert stage_of("longest:keep=0.3") == stage_of(saved(stage)) == stage
    assert spelled(stage) == "longest:keep=0.3"
