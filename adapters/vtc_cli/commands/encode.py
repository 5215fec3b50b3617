"""The command `vtc encode`: its options, its help, and what can be refused before torch is imported."""

import glob
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import BadUsage
from ..options import (
    Address,
    Debug,
    Engine,
    Keep,
    Layers,
    Method,
    Model,
    Reduce,
    Workers,
    check_engine,
    check_installed,
    method_of,
)
from ..progress import waiting


def encode(
    pictures: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="A folder, a glob in quotes, a .tar, or a .parquet file.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder for the shards.", show_default=False)],
    column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a parquet file: where the pictures are.", show_default=False),
    ] = None,
    model: Model = None,
    keep: Keep = None,
    method: Method = None,
    layers: Layers = None,
    reduce: Reduce = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures that are encoded at once.")] = 16,
    shard_size: Annotated[int, typer.Option(min=1, help="Pictures in a shard: what a killed run loses.")] = 512,
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option(help="Of the stored features; on a GPU of the arithmetic too.")
    ] = "float16",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: cuda where there is one.")] = "auto",
    engine: Engine = "local",
    address: Address = None,
    workers: Workers = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Threads of a worker that decode. Left out: all CPUs.", show_default=False
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a picture that cannot be read, instead of listing it.")
    ] = False,
    fast_decode: Annotated[
        bool,
        typer.Option(
            "--fast-decode",
            help="Decode JPEGs at 1/2 to 1/8 of their size, at least twice the encoder's: features differ a little.",
        ),
    ] = False,
    packed: Annotated[
        bool,
        typer.Option("--packed", help="Lay weights out for this CPU: faster on AMD; features differ by rounding."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove the shards in OUT first.")] = False,
    debug: Debug = False,
) -> None:
    """Encode a corpus once, to ask many times: pruned features as parquet shards.

    Run it again after it was stopped, however that happened, and it goes on where it was. Features are those of the
    vision tower, before a LLaVA's projector. Unreadable pictures are listed in OUT/skipped.parquet.

    Example: [bold]vtc encode photos features --model llava-hf/llava-1.5-7b-hf --keep 64[/bold]
    """
    _check(pictures, out, engine, address, workers)
    chosen = method_of(method, layers, reduce, "a corpus is encoded before anything is asked")
    with waiting("starting torch"):
        from ..encode import Options, run

    options = Options(
        column=column,
        model=model,
        keep=keep,
        method=chosen,
        batch=batch,
        shard_size=shard_size,
        dtype=dtype,
        device=device,
        engine=engine,
        address=address,
        workers=workers,
        threads=threads,
        strict=strict,
        fast_decode=fast_decode,
        packed=packed,
        overwrite=overwrite,
    )
    run(pictures, out, options)


def _check(pictures: str, out: Path, engine: str, address: str | None, workers: int) -> None:
    """Refuse an INPUT that is not there, an OUT that is a file, and an engine that cannot run."""
    check_installed("encode", "pyarrow")
    check_engine(engine, address, workers)
    if not os.path.lexists(pictures) and not glob.has_magic(pictures):
        from vtc_pictures import short

        raise BadUsage(f"{short(pictures)}: no such file or folder")
    if os.path.lexists(out) and not os.path.isdir(out):
        raise BadUsage(f"{out} is a file: OUT is a folder")
