"""The catalogue of methods stays small, and its README is true."""

import ast
import importlib.util
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from small_models import make_tower, pixels

import vtc_core
import vtc_jax
import vtc_torch
from vtc_core.methods import METHODS, Seen, VtcCls, method_of, saved, spelled

FOLDER = Path(vtc_core.__file__).parent / "methods"
README = (FOLDER / "README.md").read_text()
MACHINERY = ("__init__", "catalogue", "combine", "greedy", "method", "parts", "spelling", "tiles")
FILES = [path for path in sorted(FOLDER.glob("*.py")) if path.stem not in MACHINERY]


def test_layer_numbers_and_a_number_of_layers_are_spelled_apart():
    for layers, text in ((22, "vtc-cls:layers=22"), ((22,), "vtc-cls:layers=22+"), ((21, 22), "vtc-cls:layers=21+22")):
        assert spelled(VtcCls(layers)) == text
        assert method_of(text) == VtcCls(layers)


def lines_of_code(path):
    """Without docstrings, comments and blank lines: prose about a formula is not what has to be small."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    kept = {line for node in ast.walk(tree) if hasattr(node, "lineno") for line in _lines(node)}
    texts = path.read_text().splitlines()
    return len([line for line in kept if texts[line - 1].strip() and not texts[line - 1].strip().startswith("#")])


def _lines(node):
    """Its own first and last; those between are of what is in it."""
    inside = isinstance(node, ast.ClassDef | ast.FunctionDef)
    return [node.lineno] if inside else range(node.lineno, (node.end_lineno or node.lineno) + 1)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_file_of_the_catalogue_is_over_150_lines(path):
    assert len(path.read_text().splitlines()) <= 150


def test_all_methods_together_are_under_1200_lines_of_code():
    assert {"vtc_cls", "visionzip"} <= {path.stem for path in FILES}
    assert sum(map(lines_of_code, FILES)) < 1200


def test_every_file_of_the_catalogue_is_listed():
    listed = {Path(importlib.util.find_spec(kind.__module__).origin).stem for kind in METHODS.values()}  # type: ignore[union-attr]
    assert {path.stem for path in FILES} == listed


# --- its README ---------------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_names_every_field():
    assert len(README.splitlines()) < 80
    of_table = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in README.splitlines() if line[:3] == "| `"))
    assert of_table == list(Seen._fields)
    for name in re.findall(r"\]\((\S+?)\)", README):
        assert name.startswith("https://") or (FOLDER / name).exists(), name


@pytest.fixture
def example(tmp_path):
    """The method of the README, from its own file."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert 15 < len([line for line in code.splitlines() if line.strip()]) < 30
    (tmp_path / "unlike.py").write_text(code)
    spec = importlib.util.spec_from_file_location("unlike", tmp_path / "unlike.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Unlike


def test_the_method_of_the_readme_chooses_on_every_backend(example):
    features = np.random.default_rng(0).standard_normal((2, 20, 6)).astype(np.float32)
    expected = []
    for row in features.astype(np.float64):
        far = [np.linalg.norm(x - row.mean(0) / 2) for x in row]
        expected.append(sorted(np.argsort(far)[-5:].tolist()))
    for v, of in ((vtc_core, np.asarray), (vtc_torch, torch.tensor), (vtc_jax, jnp.asarray)):
        seen = Seen(of(np.zeros((2, 20, 2), int)), of(np.zeros((2, 20), int)), features=of(features))
        assert example(weight=0.5).choose(v, seen, 5).indices.tolist() == expected
        if v is vtc_jax:
            jitted = jax.jit(lambda seen: example(weight=0.5).choose(vtc_jax, seen, 5).indices)
            assert jitted(seen).tolist() == expected


def test_the_method_of_the_readme_prunes_an_encoder_and_has_a_name_once_listed(example, monkeypatch):
    tower = make_tower()
    with torch.inference_mode():
        pruned = vtc_torch.PrunedEncoder(tower, 7, example())(pixels(tower))
        whole = tower(pixels(tower), output_hidden_states=True).hidden_states[-2][:, 1:]
    far = (whole - whole.mean(1, keepdim=True)).norm(dim=2)
    assert pruned.indices.tolist() == far.topk(7).indices.sort().values.tolist()
    monkeypatch.setitem(METHODS, "unlike", example)
    assert method_of("unlike:weight=0.25") == method_of(saved(example(0.25))) == example(0.25)
    assert spelled(example(0.25)) == "unlike:weight=0.25"
    with pytest.raises(ValueError, match=r"weight must be a number in \[0, 1\], got 2"):
        example(2)
