"""Signatures say what the glossary says: every axis of a public signature is in it, and none there is unused."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .test_layout import ROOT, SOURCES

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
ARRAYS = {"Float", "Int", "Int64", "Bool", "Shaped", "Integer", "UInt8", "Num"}  # of jaxtyping


def axes(annotation: ast.AST) -> Iterator[str]:
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in ARRAYS:
            shape = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else None
            if isinstance(shape, ast.Constant) and isinstance(shape.value, str):
                yield from re.findall(r"[a-z]\w*", shape.value)


def public(node: ast.AST) -> Iterator[ast.AST]:
    """The annotations of what a module or class shows, and types that it names."""
    for child in ast.iter_child_nodes(node):
        name = getattr(child, "name", "")
        if name.startswith("_") and not name.startswith("__"):
            continue
        if isinstance(child, ast.FunctionDef):
            arguments = (*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs)
            yield from (x for x in (*(a.annotation for a in arguments), child.returns) if x)
        elif isinstance(child, ast.ClassDef):
            yield from public(child)
        elif isinstance(child, ast.AnnAssign):
            yield child.annotation
        elif isinstance(child, ast.Assign):
            yield child.value


def used(path: Path) -> set[str]:
    return {axis for annotation in public(ast.parse(path.read_text())) for axis in axes(annotation)}


def listed() -> set[str]:
    table = GLOSSARY.partition("## Axes of arrays")[2]
    return {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }


def test_every_axis_of_a_public_signature_is_in_the_glossary():
    unknown = {axis: str(path.relative_to(ROOT)) for path in SOURCES for axis in used(path) - listed()}
    assert not unknown


def test_the_glossary_has_no_axis_that_nobody_uses():
    assert listed() <= set().union(*map(used, SOURCES))


def test_the_tests_above_can_fail():
    tree = ast.parse('def f(x: Float[Tensor, "batch *odd"]) -> None: ...\ndef _g(x: Int[Any, "hidden"]): ...')
    assert {axis for annotation in public(tree) for axis in axes(annotation)} == {"batch", "odd"}
