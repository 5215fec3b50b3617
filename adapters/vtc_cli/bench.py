"""`vtc bench`: is it really faster, on this machine? What each subject measures is in `vtc_bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markdown import Markdown

from .errors import BadUsage
from .options import Debug, Keep, Layers
from .progress import waiting

if TYPE_CHECKING:
    from vtc_bench.report import Report

Geometry = Annotated[
    Literal["vit-l-336", "vit-b-224"], typer.Option(help="CLIP ViT-L/14-336, as in LLaVA-1.5, or ViT-B/16.")
]
Batch = Annotated[int, typer.Option(min=1, help="Pictures at once.")]
Rounds = Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians are shown.")]

bench = typer.Typer(
    no_args_is_help=True, help="Measure what pruning saves on this machine: ratios from one interleaved run."
)


@bench.command()
def encoder(
    backend: Annotated[Literal["torch", "compile", "onnx", "jax"], typer.Option(help="What runs it.")] = "torch",
    geometry: Geometry = "vit-l-336",
    batch: Batch = 4,
    keep: Keep = None,
    layers: Layers = 3,
    rounds: Rounds = 5,
    debug: Debug = False,
) -> None:
    """The encoder: pruned, whole, and (in torch) pruned the usual way. Random weights, float32, CPU.

    Example: [bold]vtc bench encoder --backend onnx --batch 1[/bold]
    """
    keep = _keep(geometry, keep, layers)
    with waiting(f"starting {backend}"):
        from vtc_bench import report
    _print(report.encoder(backend, geometry, batch, keep, layers, rounds))


@bench.command()
def memory(
    geometry: Geometry = "vit-l-336", batch: Batch = 4, keep: Keep = None, layers: Layers = 3, debug: Debug = False
) -> None:
    """Peak memory of the same three in PyTorch, a fresh process each. Needs Linux.

    Example: [bold]vtc bench memory --batch 1[/bold]
    """
    if not Path("/proc/self/clear_refs").exists():
        raise BadUsage("vtc bench memory reads peak memory from Linux' /proc, which this system lacks")
    keep = _keep(geometry, keep, layers)
    with waiting("measuring, a fresh process each"):
        from vtc_bench import report

        measured = report.memory(geometry, batch, keep, layers)
    _print(measured)


@bench.command()
def prefill(
    geometry: Geometry = "vit-l-336",
    language_model: Annotated[
        Literal["0.5b", "7b"], typer.Option(help="Qwen2-0.5B or Vicuna-7B geometry (28 GB in float32).")
    ] = "0.5b",
    batch: Batch = 1,
    keep: Keep = None,
    layers: Layers = 3,
    rounds: Rounds = 5,
    debug: Debug = False,
) -> None:
    """The language model with all and with few visual tokens: prefill, time to first token, tokens per second.

    Example: [bold]vtc bench prefill --rounds 3[/bold]
    """
    keep = _keep(geometry, keep, layers)
    with waiting("starting torch"):
        from vtc_bench import report
    _print(report.prefill(geometry, language_model, batch, keep, layers, rounds))


@bench.command()
def growth(
    geometry: Geometry = "vit-b-224",
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the plots go.")] = Path("vtc-plots"),
    rounds: Rounds = 3,
    debug: Debug = False,
) -> None:
    """How time grows with keep, K, batch and tokens: a small plot each.

    Example: [bold]vtc bench growth --out plots[/bold]
    """
    if out.exists() and not out.is_dir():
        raise BadUsage(f"--out {out} is a file: a folder is needed")
    with waiting("starting torch"):
        from vtc_bench import report
    _print(report.growth(geometry, out, rounds))


def _keep(geometry: str, keep: int | None, layers: int) -> int:
    """One in nine unless given; numbers that do not fit are refused before anything is built."""
    from vtc_bench import costs

    g = costs.GEOMETRIES[geometry]
    keep = round(g.tokens / 9) if keep is None else keep
    try:
        costs.pruned(g, keep, layers)
    except ValueError as error:
        raise BadUsage(str(error)) from error
    return keep


def _print(report: "Report") -> None:
    """Rendered on a terminal, plain markdown into a file or a pipe."""
    from vtc_bench.machine import machine

    text = f"{report.body}\n\nOn {machine(report.packages)}"
    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        print(text)
