"""`vtc export`: a pruned vision encoder as an ONNX file, or in a folder as transformers.js reads it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from safetensors import SafetensorError

import vtc_onnx
import vtc_tiny
from vtc_core.methods import Method
from vtc_onnx.folder import ExportedFolder, language_model

from . import models, progress
from .errors import BadUsage, reason

EMBEDDED = "embedded"  # in place of a checkpoint; a folder of that name is ./embedded


def run(
    model: str,
    out: Path,
    method: Method,
    *,
    layout: str,
    keep: int | None,
    static_keep: bool,
    dtype: str,
    quantize: str | None,
    overwrite: bool,
) -> None:
    """Write it; print what there is now, its size, and how it agrees with torch."""
    folder = None
    with refusing():
        plan = models.plan(str(vtc_tiny.PATH) if model == EMBEDDED else model, keep, method)
        options: dict[str, Any] = {"dtype": dtype, "quantize": quantize, "overwrite": overwrite}
        with steps() as step:
            wanted = (plan.source, out, plan.keep, method)
            if layout == "file":
                report = vtc_onnx.export(*wanted, static_keep=static_keep, **options, progress=step)
            else:
                folder = vtc_onnx.export_folder(*wanted, **options, progress=step)
                report = folder.encoder
    if folder:
        _print_folder(folder, plan.counted)
    else:
        fixed = "fixed" if static_keep else "unless the input keep says otherwise"
        typer.echo(f"{out}: {megabytes(report.bytes)}, {plan.counted}, {fixed}")
    typer.echo(
        f"compared with torch: {report.overlap:.1%} of the kept tokens are the same, "
        f"features differ by {report.difference:.1g} at most, cosine {report.cosine:.6f}"
    )


def _print_folder(folder: ExportedFolder, counted: str) -> None:
    rows = [(f"onnx/{folder.encoder.path.name}", megabytes(folder.encoder.bytes), counted)]
    rows += [(f"onnx/{file.name}", megabytes(file.stat().st_size), "as it was") for file in language_model(folder.path)]
    rows += [(f"onnx/{part}.onnx", "not there", "as in any ONNX export of the model") for part in folder.absent]
    rows += [("config and processor", "", f"{folder.keep} placeholders a picture")]
    wide = max(len(name) for name, _, _ in rows)
    typer.echo(f"{folder.path}:")
    for name, size, about in rows:
        typer.echo(f"  {name:<{wide}}  {size:>10}  {about}")
    if folder.absent:
        progress.note(
            "pruning does not change what is not there: copy it from any other ONNX export of the same model, "
            "such as those of onnx-community on the Hugging Face hub"
        )


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.2f} MB"


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """A spinner that says the step it is told."""
    with progress.without_bars(), Console(stderr=True).status("starting") as status:
        yield status.update


@contextmanager
def refusing() -> Iterator[None]:
    """`mendable`, of a command whose MODEL is an argument."""
    try:
        with mendable():
            yield
    except BadUsage as error:
        raise BadUsage(str(error).replace("--model", "MODEL", 1)) from error


@contextmanager
def mendable() -> Iterator[None]:
    """What the user can mend, as bad usage. A file that torch contradicts is none of it."""
    try:
        yield
    except (ImportError, OSError, TypeError, ValueError, SafetensorError) as error:
        raise BadUsage(reason(error)) from error
