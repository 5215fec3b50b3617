"""`vtc bench`: is it really faster, on this machine? What each subject measures is in `vtc_bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from ..errors import BadUsage
from ..options import Debug, Keep, Layers, Method, method_of
from ..progress import waiting

if TYPE_CHECKING:
    from vtc_bench.report import Report
    from vtc_core import methods

Geometry = Annotated[
    Literal["vit-l-336", "vit-b-224"], typer.Option(help="CLIP ViT-L/14-336, as in LLaVA-1.5, or ViT-B/16.")
]
Batch = Annotated[int, typer.Option(min=1, help="Pictures at once.")]
Rounds = Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians are shown.")]

NO_PROMPT = "a benchmark asks nothing"

bench = typer.Typer(
    no_args_is_help=True, help="Measure what pruning saves on this machine: ratios from one interleaved run."
)


@bench.command()
def encoder(
    backend: Annotated[
        Literal["torch", "packed", "compile", "onnx", "jax"], typer.Option(help="What runs it.")
    ] = "torch",
    geometry: Geometry = "vit-l-336",
    batch: Batch = 4,
    keep: Keep = None,
    method: Method = None,
    layers: Layers = None,
    rounds: Rounds = 5,
    debug: Debug = False,
) -> None:
    """The encoder: pruned, whole, and (VTC-CLS in torch) pruned the usual way. Random weights, float32, CPU.

    Example: [bold]vtc bench encoder --method visionzip --batch 1[/bold]
    """
    chosen = method_of(method, layers, None, NO_PROMPT)
    keep = _keep(geometry, keep, chosen)
    with waiting(f"starting {backend}"):
        from vtc_bench import report
    _print(report.encoder(backend, geometry, batch, keep, chosen, rounds))


@bench.command()
def memory(
    geometry: Geometry = "vit-l-336",
    batch: Batch = 4,
    keep: Keep = None,
    method: Method = None,
    layers: Layers = None,
    debug: Debug = False,
) -> None:
    """Peak memory of the same in PyTorch, a fresh process each. Needs Linux.

    Example: [bold]vtc bench memory --batch 1[/bold]
    """
    if not Path("/proc/self/clear_refs").exists():
        raise BadUsage("vtc bench memory reads peak memory from Linux' /proc, which this system lacks")
    chosen = method_of(method, layers, None, NO_PROMPT)
    keep = _keep(geometry, keep, chosen)
    with waiting("measuring, a fresh process each"):
        from vtc_bench import report

        measured = report.memory(geometry, batch, keep, chosen)
    _print(measured)


@bench.command()
def prefill(
    geometry: Geometry = "vit-l-336",
    language_model: Annotated[
        Literal["0.5b", "7b"], typer.Option(help="Qwen2-0.5B or Vicuna-7B geometry (28 GB in float32).")
    ] = "0.5b",
    batch: Batch = 1,
    keep: Keep = None,
    method: Method = None,
    layers: Layers = None,
    rounds: Rounds = 5,
    debug: Debug = False,
) -> None:
    """The language model with all and with few visual tokens: prefill, time to first token, tokens per second.

    Example: [bold]vtc bench prefill --rounds 3[/bold]
    """
    chosen = method_of(method, layers, None, NO_PROMPT)
    keep = _keep(geometry, keep, chosen)
    with waiting("starting torch"):
        from vtc_bench import report
    _print(report.prefill(geometry, language_model, batch, keep, chosen, rounds))


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


def _keep(geometry: str, keep: int | None, method: "methods.Method") -> int:
    """One in nine unless given; numbers that do not fit are refused before anything is built."""
    from vtc_bench import costs

    g = costs.GEOMETRIES[geometry]
    keep = round(g.tokens / 9) if keep is None else keep
    try:
        costs.pruned(g, keep, method)
    except ValueError as error:
        raise BadUsage(str(error)) from error
    return keep


def _print(report: "Report") -> None:
    """Rendered on a terminal, plain markdown into a file or a pipe."""
    from vtc_bench.machine import machine

    text = f"{report.body}\n\nOn {machine(report.packages)}"
    console = Console()
    if console.is_terminal:
        from rich.markdown import Markdown

        console.print(Markdown(text))
    else:
        print(text)
