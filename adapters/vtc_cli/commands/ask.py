"""The command `vtc ask`."""

from typing import Annotated, Literal

import typer

from ..errors import BadUsage
from ..options import Debug, Image, Keep, Layers, Method, Model, Reduce, Stage, Total, method_of, stages_of
from ..progress import waiting


def ask(
    image: Image,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In quotes.", show_default=False)],
    model: Model = None,
    keep: Keep = None,
    total: Total = None,
    method: Method = None,
    layers: Layers = None,
    reduce: Reduce = None,
    stage: Stage = None,
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
    stages = stages_of(stage)
    alone = stages and all(option is None for option in (keep, total, method, layers, reduce))
    chosen = method_of("grid" if alone else method, layers, reduce)  # which every tower can do, and nothing is dropped
    from ..pictures import open_picture

    picture = open_picture(image)
    with waiting("starting torch"):
        from ..ask import run

    run(
        picture,
        question,
        model,
        chosen,
        keep=keep,
        total=total,
        stages=stages,
        max_new_tokens=max_new_tokens,
        device=device,
        dtype=dtype,
    )
