"""The commands, their options and their help.

What can be refused at once is refused here, before torch is imported, which takes seconds. Nothing is imported before
it is needed: help is there at once.
"""

import io
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from .bench import bench
from .corpora import encode
from .errors import BadUsage, Commands
from .options import Debug, Image, Keep, Layers, Method, Model, Reduce, Total, method_of
from .page import page
from .progress import waiting
from .targets import check_target
from .tuning import tune

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bench, name="bench")


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
    method: Annotated[
        list[str],
        typer.Option(metavar="NAME[:KEY=VALUE,...]", help="How tokens are chosen; twice: two methods side by side."),
    ] = ["vtc-cls", "divprune"],  # noqa: B006, typer copies it
    seed: Annotated[int, typer.Option(min=0, help="The first scene; they are numbered.")] = 0,
    debug: Debug = False,
) -> None:
    """Answer questions about scenes with all and with few visual tokens, by two methods. No download.

    The embedded model has never seen these scenes. A table goes to the terminal, a picture to --out.

    Example: [bold]vtc demo --scenes 6 --keep 24[/bold]
    """
    from .pictures import check_out

    check_out(out)
    if len(method) > 2:
        raise BadUsage(f"--method may be given twice at most, got {len(method)}: {', '.join(method)}")
    chosen = [method_of(name, None, None) for name in method]
    with waiting("starting torch"):
        from .demo import demo

    demo(out, scenes, keep, chosen, seed)


@app.command()
def ask(
    image: Image,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In quotes.", show_default=False)],
    model: Model = None,
    keep: Keep = None,
    total: Total = None,
    method: Method = None,
    layers: Layers = None,
    reduce: Reduce = None,
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
    chosen = method_of(method, layers, reduce)
    from .pictures import open_picture

    picture = open_picture(image)
    with waiting("starting torch"):
        from .ask import ask

    ask(picture, question, model, keep, total, chosen, max_new_tokens, device, dtype)


@app.command()
def show(
    image: Image,
    model: Model = None,
    keep: Keep = None,
    total: Total = None,
    method: Method = None,
    layers: Layers = None,
    reduce: Reduce = None,
    out: Annotated[Path, typer.Option(metavar="PNG", help="Where the picture goes.")] = Path("kept.png"),
    debug: Debug = False,
) -> None:
    """Draw which patches of a picture are kept, which are merged into them, and the scores that chose them.

    A picture of several tiles (LLaVA-NeXT, LLaVA-OneVision) is drawn with all of them in their places. Only the vision
    tower is read, never the language model.

    Example: [bold]vtc show photo.jpg --model llava-hf/llava-1.5-7b-hf --keep 64 --out kept.png[/bold]
    """
    from .pictures import check_out, open_picture

    check_out(out, image)
    chosen = method_of(method, layers, reduce)
    picture = open_picture(image)
    with waiting("starting torch"):
        from .show import show

    show(picture, image.name, model, keep, total, chosen, out)


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A checkpoint, folder or hub id, such as llava-hf/llava-1.5-7b-hf; or the word [bold]embedded[/bold].",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .onnx file, or the folder.", show_default=False)],
    layout: Annotated[
        Literal["file", "onnx-community"],
        typer.Option(help="One file; or a folder as transformers.js reads it, with processor and config for --keep."),
    ] = "file",
    keep: Keep = None,
    method: Method = None,
    layers: Layers = None,
    reduce: Reduce = None,
    static_keep: Annotated[
        bool, typer.Option("--static-keep", help="Make --keep a constant of the graph; in a folder it always is.")
    ] = False,
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="Of weights and arithmetic.")] = "float32",
    quantize: Annotated[
        Literal["int8"] | None, typer.Option(help="Weights in 8 bits; look at the figures.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    debug: Debug = False,
) -> None:
    """Write a checkpoint's pruned vision encoder as ONNX, and compare the file with torch.

    In a file, keep is an input: one file for every budget. What is written is run in ONNX Runtime before it stays.

    Example: [bold]vtc export llava-hf/llava-1.5-7b-hf encoder.onnx --keep 64[/bold]
    """
    chosen = method_of(method, layers, reduce)
    check_target(model, out, layout, overwrite)
    with waiting("starting torch"):
        from .export import export

    export(model, out, layout, keep, chosen, static_keep, dtype, quantize, overwrite)


app.command()(encode)
app.command()(page)
app.command()(tune)


@app.command()
def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="All about one of them.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: names, parameters, sources.")] = False,
) -> None:
    """List the methods that --method takes: what each looks at, its parameters, and who published it.

    Example: [bold]vtc methods visionzip[/bold]
    """
    from .methods import methods

    methods(name, as_json)


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
