"""Rules of the house that nobody should have to remember."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELVES = ("backends", "adapters", "conformance")
PACKAGES = [ROOT / "vtc_core", *(p.parent for s in SHELVES for p in sorted(ROOT.glob(f"{s}/*/__init__.py")))]
SOURCES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]
SHELVES_AND_MORE = ("vtc_core", *SHELVES, "tests", "benchmarks", "examples", "docs")

FRAMEWORKS = ("torch", "transformers", "jax", "flax", "onnx", "onnxruntime", "tensorflow", "vllm")
ALLOWED = {  # packages that may import the same share an interpreter
    "vtc_core, vtc_pictures, vtc_bench, vtc_vllm, vtc_lmms": (),
    "vtc_torch, vtc_llava, vtc_encode": ("torch", "transformers"),
    "vtc_jax": ("jax", "flax"),
    "vtc_onnx": ("onnx", "onnxruntime"),
}


def imported_frameworks(statement):
    """The frameworks that a fresh interpreter has loaded after `statement`."""
    program = f"import sys\n{statement}\nprint(*(f for f in {FRAMEWORKS} if f in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("packages", ALLOWED)
def test_a_package_imports_only_its_own_framework(packages):
    assert imported_frameworks(f"import {packages}") <= set(ALLOWED[packages])


def test_the_test_above_can_fail():
    assert imported_frameworks("import vtc_core, onnx") == {"onnx"}


@pytest.mark.parametrize("shelf", SHELVES)
def test_a_shelf_is_no_package(shelf):
    assert not (ROOT / shelf / "__init__.py").exists()


def test_the_wheel_holds_every_package():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert {ROOT / path for path in tools["hatch"]["build"]["targets"]["wheel"]["packages"]} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_init_is_a_docstring_and_reexports(package):
    assert (package / "py.typed").exists()
    docstring, *rest = ast.parse((package / "__init__.py").read_text()).body
    assert isinstance(docstring, ast.Expr)
    for statement in rest:
        assert isinstance(statement, ast.ImportFrom)
        assert all(name.asname == name.name for name in statement.names), "write `from .x import y as y`"


def test_files_stay_short():
    written = [f for kind in ("py", "js", "mjs", "sh") for s in SHELVES_AND_MORE for f in ROOT.glob(f"{s}/**/*.{kind}")]
    lines = {f.relative_to(ROOT): len(f.read_text().splitlines()) for f in written if "node_modules" not in f.parts}
    assert len(lines) > 400
    assert {file: count for file, count in lines.items() if count > 200} == {}


def test_ci_runs_the_test_command_of_contributing():
    command = next(line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if ".[test]" in line)
    assert "pytest" in command
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_readme_is_short_and_starts_with_code():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 150
    assert "```python" in lines[:14]
