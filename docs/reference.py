"""The pages that are made of the code: the commands, and what each package exports."""

import ast
import html
import re
import subprocess
import sys
from pathlib import Path

PACKAGES = (
    "vtc_core",
    "vtc_core/methods",
    "vtc_core/stages",
    "backends/vtc_torch",
    "backends/vtc_jax",
    "backends/vtc_onnx",
    "adapters/vtc_llava",
    "adapters/vtc_tiny",
    "adapters/vtc_encode",
    "adapters/vtc_tune",
    "adapters/vtc_page",
    "adapters/vtc_pictures",
)
CUT_SHORT = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+")  # the page's own contents list them whole
BOLD = re.compile(r'<span style="font-weight: bold">(.*?)</span>', re.DOTALL)


def pages(root: Path) -> dict[str, str]:
    return {"commands.md": _commands()} | {f"api/{Path(path).name}.md": _api(root / path) for path in PACKAGES}


def _commands() -> str:
    words = [sys.executable, "-m", "typer", "vtc_cli.app", "utils", "docs", "--name", "vtc"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    said = BOLD.sub(lambda bold: f"`{html.unescape(bold[1])}`", CUT_SHORT.sub("", said))
    return said.replace("# `vtc`", "# The command line", 1)


def _api(package: Path) -> str:
    """Of a package what its `__init__` exports, and that of others only by name."""
    name = ".".join([parent.name for parent in reversed(package.parents) if (parent / "__init__.py").exists()])
    name = f"{name}.{package.name}".lstrip(".")
    tree = ast.parse((package / "__init__.py").read_text())
    imports = [statement for statement in tree.body if isinstance(statement, ast.ImportFrom)]
    exported = {alias.name for statement in imports if statement.level for alias in statement.names}
    names = (name for name in exported if not name.isupper())  # of constants the code says enough
    ordered = sorted(names, key=lambda name: (name[0].isupper(), name))  # functions first
    return "\n\n".join([f"# {name}", ast.get_docstring(tree) or "", *(f"::: {name}.{one}" for one in ordered)])
