"""The `vtc` script: its commands, each from a file of `commands`. Nothing is imported before it is needed."""

import io
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from .commands.ask import ask
from .commands.bench import bench
from .commands.check import check
from .commands.demo import demo
from .commands.encode import encode
from .commands.export import export
from .commands.methods import methods
from .commands.page import page
from .commands.show import show
from .commands.tune import tune
from .errors import Commands

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bench, name="bench")
for command in (demo, ask, show, export, encode, page, tune, methods, check):
    app.command()(command)


def main() -> None:
    """The `vtc` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an answer in letters that the terminal lacks is no failure
    app(prog_name="vtc")


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"vtc {version('vtc-cls')}")
        raise typer.Exit
    return wanted


@app.callback()
def vtc(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Answer questions about pictures with a LLaVA that keeps few of its visual tokens.

    Start with [bold]vtc demo[/bold]: it needs no download.
    """
