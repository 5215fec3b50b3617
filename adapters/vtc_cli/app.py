"""The commands, their options and their help.

What can be refused at once is refused here, before torch is imported, which takes seconds.
"""

import io
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from .errors import BadUsage, Commands
from .pictures import check_out, open_picture
from .progress import waiting

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture: PNG, JPEG, WebP, ...", show_default=False)]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|HUB_ID",
        help="A checkpoint in the Hugging Face layout, such as llava-hf/llava-1.5-7b-hf. Left out: the embedded model.",
        show_default=False,
    ),
]
Keep = Annotated[
    int | None,
    typer.Option(metavar="N", help="Visual tokens to keep. Left out: one in nine, 64 of 576.", show_default=False),
]
Layers = Annotated[int, typer.Option(metavar="K", help="How many encoder layers score the tokens.")]
Reduce = Annotated[
    Literal["sum", "mean", "max", "min"], typer.Option(help="How the scores of the layers are put together.")
]
Debug = Annotated[bool, typer.Option("--debug", help="With an error, show where it comes from.")]

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="PNG", help="Where the picture goes.")] = Path("vtc-demo.png"),
    scenes: Annotated[int, typer.Option(min=1, max=32, help="How many scenes.")] = 4,
    keep: Keep = None,
    seed: Annotated[int, typer.Option(min=0, help="The first scene; they are numbered.")] = 0,
    debug: Debug = False,
) -> None:
    """Answer questions about scenes with all and with few visual tokens, side by side. No download.

    The embedded model has never seen these scenes. A table goes to the terminal, a picture to --out.

    Example: [bold]vtc demo --scenes 6 --keep 24[/bold]
    """
    check_out(out)
    with waiting("starting torch"):
        from .demo import demo

    demo(out, scenes, keep, seed)


@app.command()
def ask(
    image: Image,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In quotes.", show_default=False)],
    model: Model = None,
    keep: Keep = None,
    layers: Layers = 3,
    reduce: Reduce = "sum",
    max_new_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Longest answer, in tokens.")] = 64,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: cuda where there is one.")] = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "float16", "bfloat16"], typer.Option(help="auto: as the checkpoint has it.")
    ] = "auto",
    debug: Debug = False,
) -> None:
    """Answer a question about a picture, and say what it cost.

    Example: [bold]vtc ask photo.jpg "What is on the table?" --model llava-hf/llava-1.5-7b-hf --keep 64[/bold]
    """
    if not question.strip() or "<image>" in question:
        raise BadUsage(f"QUESTION must be words; <image> is put before them by itself, got {question!r}")
    picture = open_picture(image)
    with waiting("starting torch"):
        from .ask import ask

    ask(picture, question, model, keep, layers, reduce, max_new_tokens, device, dtype)


@app.command()
def show(
    image: Image,
    model: Model = None,
    keep: Keep = None,
    layers: Layers = 3,
    reduce: Reduce = "sum",
    out: Annotated[Path, typer.Option(metavar="PNG", help="Where the picture goes.")] = Path("kept.png"),
    debug: Debug = False,
) -> None:
    """Draw which patches of a picture are kept, and the scores that chose them.

    Only the vision tower is read, never the language model.

    Example: [bold]vtc show photo.jpg --model llava-hf/llava-1.5-7b-hf --keep 64 --out kept.png[/bold]
    """
    check_out(out)
    picture = open_picture(image)
    with waiting("starting torch"):
        from .show import show

    show(picture, image.name, model, keep, layers, reduce, out)


@app.command()
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
    from .check import check

    with waiting("running the suite"):
        code = check(backends, as_json, xfails)
    raise typer.Exit(code)
