"""The command `vtc check`."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import Debug
from ..progress import waiting


def check(
    backends: Annotated[
        list[str], typer.Argument(metavar="BACKEND...", help="Modules, such as vtc_torch.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For machines: every test and its outcome.")] = False,
    xfails: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Known deviations, a test and a # reason a line.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Hold backends to the specification: the conformance suite, as a table of clauses x backends.

    Example: [bold]vtc check vtc_core vtc_torch[/bold]
    """
    from ..check import run

    with waiting("running the suite"):
        code = run(backends, as_json, xfails)
    raise typer.Exit(code)
