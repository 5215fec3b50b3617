"""The command `vtc tune`: its options, its help, and what can be refused before torch is imported."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import BadUsage
from ..options import Address, Debug, Engine, Model, Workers, check_engine, check_installed, method_of
from ..progress import waiting

if TYPE_CHECKING:
    from vtc_core.methods import Method


def tune(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A .jsonl, .csv or .parquet file with image, question and maybe answer in a row; or, with --question, "
            "a folder of pictures. Left out: the embedded scenes.",
            show_default=False,
        ),
    ] = None,
    model: Model = None,
    question: Annotated[
        list[str] | None,
        typer.Option(metavar="WORDS", help="Asked of every picture of a folder; may be repeated.", show_default=False),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:KEY=VALUE,...]",
            help="May be repeated, or several in quotes. Left out: five that fit the model.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N,N,...", help="Tokens of a tile to try. Left out: 1/2 to 1/18 of them.", show_default=False
        ),
    ] = None,
    total: Annotated[
        list[str] | None,
        typer.Option(metavar="N,N,...", help="Tokens to try of a picture of several tiles.", show_default=False),
    ] = None,
    target: Annotated[float, typer.Option(help="Share of the answers that has to stay the same.")] = 0.98,
    samples: Annotated[int, typer.Option(min=1, metavar="N", help="How many are used of DATA.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Which of them.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Longest answer, in tokens.")] = 64,
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Samples at once; and what a killed run loses.")
    ] = 16,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where report and results go.")] = Path("vtc-tune"),
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: cuda where there is one.")] = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "float16", "bfloat16"], typer.Option(help="auto: as the checkpoint has it.")
    ] = "auto",
    engine: Engine = "local",
    address: Address = None,
    workers: Workers = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Empty FOLDER of former results first.")] = False,
    debug: Debug = False,
) -> None:
    """Find out how few visual tokens your own data needs, and by which method. No labels needed.

    The model is asked with all tokens once, then with every method and budget: how often is the answer still the same?
    The cheapest setting that surely meets --target is recommended. Run it again after it was stopped, and it goes on.

    Example: [bold]vtc tune questions.jsonl --model llava-hf/llava-1.5-7b-hf --target 0.99[/bold]
    """
    check_installed("tune", "pyarrow", "scipy", "jinja2")
    if not 0 < target < 1:
        raise BadUsage(f"--target must lie between 0 and 1, got {target}")
    if data is None and question:
        raise BadUsage("--question is asked of the pictures of a folder: DATA is missing")
    if out.exists() and not out.is_dir():
        raise BadUsage(f"--out {out} is a file: a folder is needed")
    check_engine(engine, address, workers)
    chosen, keeps, totals = _methods(methods), _numbers("--keep", keep), _numbers("--total", total)
    with waiting("starting torch"):
        from ..tune import Options, run

    options = Options(
        model=model,
        questions=tuple(question or ()),
        methods=chosen,
        keeps=keeps,
        totals=totals,
        target=target,
        samples=samples,
        seed=seed,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        engine=engine,
        address=address,
        workers=workers,
        overwrite=overwrite,
    )
    run(data, out, options)


def _methods(values: list[str] | None) -> "list[Method] | None":
    return [method_of(word, None, None) for value in values for word in value.split()] if values else None


def _numbers(option: str, values: list[str] | None) -> list[int] | None:
    if not values:
        return None
    parts = [part for value in values for part in re.split(r"[\s,]+", value.strip())]
    if bad := [part for part in parts if not part.isdecimal()]:
        raise BadUsage(f"{option} must be whole numbers, such as 64 or 64,32, got {bad[0]!r}")
    return [int(part) for part in parts]
