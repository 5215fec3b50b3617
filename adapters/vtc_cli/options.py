"""Arguments and options that several commands have."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .errors import BadUsage

if TYPE_CHECKING:
    from vtc_core.methods import Method as Chosen
    from vtc_core.stages import Stage as Staged

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
Total = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Instead of --keep, which is for each tile: tokens to keep of a picture of several tiles.",
        show_default=False,
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[:KEY=VALUE,...]",
        help="How tokens are chosen; [bold]vtc methods[/bold] lists them. Left out: vtc-cls.",
        show_default=False,
    ),
]
Stage = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="NAME[:KEY=VALUE,...]",
        help="More tokens are dropped inside the language model, such as fastv:layer=2,keep=0.5; may be repeated. "
        "Without --keep all tokens get there.",
        show_default=False,
    ),
]
Layers = Annotated[
    int | None,
    typer.Option(metavar="K", help="Of vtc-cls: how many encoder layers score the tokens, 3.", show_default=False),
]
Reduce = Annotated[
    Literal["sum", "mean", "max", "min"] | None,
    typer.Option(help="Of vtc-cls: how the scores of the layers are put together, sum.", show_default=False),
]
Engine = Annotated[Literal["local", "ray"], typer.Option(help="This process, or a Ray cluster.")]
Address = Annotated[
    str | None, typer.Option(help="Of the cluster, such as auto. Left out: one is started here.", show_default=False)
]
Workers = Annotated[int, typer.Option(min=1, metavar="N", help="Processes that do the work, with --engine ray.")]
Debug = Annotated[bool, typer.Option("--debug", help="With an error, show where it comes from.")]


def stages_of(stages: list[str] | None) -> "tuple[Staged, ...]":
    """What --stage says, each time."""
    from vtc_core.stages import stage_of

    try:
        return tuple(map(stage_of, stages or ()))
    except (TypeError, ValueError) as error:
        raise BadUsage(str(error)) from error


def check_installed(extra: str, *modules: str) -> None:
    """Refuse what needs modules that an extra brings, before they are imported."""
    for module in modules:
        if find_spec(module) is None:
            raise BadUsage(f"this needs {module}, which is not installed: pip install 'vtc-cls[{extra}]'")


def check_engine(engine: str, address: str | None, workers: int) -> None:
    """Refuse what is for a cluster where there is none."""
    if engine == "ray":
        check_installed("ray", "ray")
    if engine == "local" and address is not None:
        raise BadUsage("--address is for --engine ray")
    if engine == "local" and workers != 1:
        raise BadUsage(f"--workers {workers} is for --engine ray")


def method_of(
    method: str | None, layers: int | None, reduce: str | None, without_prompt: str | None = None
) -> "Chosen":
    """What --method, --layers and --reduce say together; `without_prompt` says why there is none to be read."""
    from vtc_core.methods import either, refuse_without_prompt

    try:
        chosen = either(None, method, layers, reduce)
        if without_prompt:
            refuse_without_prompt(chosen, without_prompt)
        return chosen
    except (TypeError, ValueError) as error:
        raise BadUsage(str(error)) from error
