"""`vtc methods`: the catalogue, a line each; and all about one of them."""

import inspect
import json
from dataclasses import fields
from typing import Any

import typer
from rich.console import Console
from rich.table import Column, Table

from vtc_core.methods import METHODS, spelled
from vtc_core.methods.method import OF_CLS

from .errors import BadUsage


def run(name: str | None, as_json: bool) -> None:
    """Print a table, or what the docstring of one says; or JSON."""
    if name is not None and name not in METHODS:
        raise BadUsage(f"NAME must be one of {', '.join(METHODS)}, got {name!r}")
    chosen = METHODS if name is None else {name: METHODS[name]}
    if as_json:
        typer.echo(json.dumps({key: _about(kind) for key, kind in chosen.items()}, indent=2))
    elif name is None:
        _table()
    else:
        given = ",".join(f"{key}={value}" for key, value in _parameters(METHODS[name]).items())
        typer.echo(f"--method {name}{':' if given else ''}{given}\n\n{inspect.getdoc(METHODS[name])}")


def _table() -> None:
    table = Table(
        Column("--method", no_wrap=True),
        "looks at",
        "mixes",
        "tower",
        Column("source", no_wrap=True),
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
        pad_edge=False,
    )
    for name, kind in METHODS.items():
        tower = "CLS" if any(field in OF_CLS for field in kind.needs) else "any"
        table.add_row(name, kind.looks_at, "yes" if kind.merges else "", tower, kind.source)
    Console().print(table)
    typer.echo("vtc methods NAME: its formula, its parameters, and where it departs from the authors' code")


def _about(kind: Any) -> dict[str, object]:
    told = {"looks_at": kind.looks_at, "merges": kind.merges, "source": kind.source, "needs": kind.needs}
    return {"spelled": spelled(kind()), **told, "parameters": _parameters(kind)}


def _parameters(kind: Any) -> dict[str, object]:
    return {field.name: field.default for field in fields(kind)}
