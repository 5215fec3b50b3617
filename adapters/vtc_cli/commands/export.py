"""The command `vtc export`: where it may write is looked at before any work is done."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import BadUsage, checking_place
from ..options import Debug, Keep, Layers, Method, Reduce, method_of
from ..progress import waiting


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
    chosen = method_of(method, layers, reduce, "a graph of an encoder is given none")
    _check_place(model, out, layout, overwrite)
    with waiting("starting torch"):
        from ..export import run

    run(
        model,
        out,
        chosen,
        layout=layout,
        keep=keep,
        static_keep=static_keep,
        dtype=dtype,
        quantize=quantize,
        overwrite=overwrite,
    )


def _check_place(model: str, out: Path, layout: str, overwrite: bool) -> None:
    """Refuse a place where nothing can be written, or where something is already."""
    try:
        from vtc_onnx.folder import check_place
    except ImportError as error:
        raise BadUsage(f"vtc export needs what pip install 'vtc-cls[onnx]' brings ({error})") from error
    if layout == "file":
        return _check_file(out, overwrite)
    with checking_place():
        check_place(model, out, overwrite)


def _check_file(path: Path, overwrite: bool) -> None:
    from vtc_core import arguments

    if path.is_dir():
        raise BadUsage(f"{path} is a folder: a file is wanted, or --layout onnx-community")
    if path.suffix.lower() != ".onnx":
        raise BadUsage(f"{path} must end in .onnx")
    if not path.parent.is_dir():
        raise BadUsage(f"{path}: there is no folder {path.parent}")
    with checking_place():
        arguments.vacant(path, overwrite)
    if not os.access(path.parent, os.W_OK):  # a file is replaced by another of its name, whatever its own permissions
        raise BadUsage(f"{path} cannot be written: permission denied")
