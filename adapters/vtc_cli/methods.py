"""`vtc methods`: the catalogues of methods and of stages, a line each; and all about one of them."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import typer
from rich.console import Console
from rich.table import Column, Table

from vtc_core.methods import METHODS, spelled
from vtc_core.methods.method import OF_CLS
from vtc_core.stages import STAGES

from .errors import BadUsage

CATALOGUES: dict[str, Mapping[str, Any]] = {"method": METHODS, "stage": STAGES}
DEPTH, TOKENS = 32, 576  # of LLaVA-1.5-7B, for which the layers of stages are published


def run(name: str | None, as_json: bool) -> None:
    """Print two tables, or what the docstrings of one name say; or JSON."""
    known = list(dict.fromkeys((*METHODS, *STAGES)))
    if name is not None and name not in known:
        raise BadUsage(f"NAME must be one of {', '.join(known)}, got {name!r}")
    chosen = {
        option: {key: kind for key, kind in kinds.items() if name in (None, key)}
        for option, kinds in CATALOGUES.items()
    }
    if as_json:
        told = {f"{option}s": {key: _about(kind) for key, kind in kinds.items()} for option, kinds in chosen.items()}
        typer.echo(json.dumps(told, indent=2))
    elif name is None:
        _tables()
    else:
        typer.echo("\n\n".join(_told(option, kind) for option, kinds in chosen.items() for kind in kinds.values()))


def _tables() -> None:
    methods = _table("--method", "looks at", "mixes", "tower")
    for name, kind in METHODS.items():
        tower = "CLS" if any(field in OF_CLS for field in kind.needs) else "any"
        methods.add_row(name, kind.looks_at, "yes" if kind.merges else "", tower, kind.source)
    stages = _table("--stage", "looks at", "layers", "")
    for name, kind in STAGES.items():
        stages.add_row(name, kind.looks_at, _layers(kind), "merges" if kind.merges else "drops", kind.source)
    Console().print(
        methods, "", "Between the layers of the language model, before these of its 32:", "", stages, sep="\n"
    )
    typer.echo("vtc methods NAME: its formula, its parameters, and where it departs from the authors' code")


def _table(name: str, *columns: str) -> Table:
    names = (Column(name, no_wrap=True), *columns, Column("source", no_wrap=True))
    return Table(*names, box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)


def _layers(kind: Any) -> str:
    """Before which a stage cuts by default; of many in a row, the first and the last."""
    layers = [str(layer) for layer, _ in kind().schedule(DEPTH, TOKENS)]
    return " ".join(layers) if len(layers) < 4 else f"{layers[0]}-{layers[-1]}"


def _told(option: str, kind: Any) -> str:
    given = ",".join(f"{key}={_text(value)}" for key, value in _parameters(kind).items())
    return f"--{option} {kind.name}{':' if given else ''}{given}\n\n{inspect.getdoc(kind)}"


def _text(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _about(kind: Any) -> dict[str, object]:
    told = {"looks_at": kind.looks_at, "merges": kind.merges, "source": kind.source, "needs": kind.needs}
    return {"spelled": spelled(kind()), **told, "parameters": _parameters(kind)}


def _parameters(kind: Any) -> dict[str, object]:
    return {field.name: field.default for field in fields(kind)}
