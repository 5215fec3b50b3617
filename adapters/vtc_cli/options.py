"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

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
Signal = Annotated[
    Literal["cls", "received"],
    typer.Option(help="Whose attention scores the tokens: that of CLS, or of all patches where a tower has no CLS."),
]
Debug = Annotated[bool, typer.Option("--debug", help="With an error, show where it comes from.")]
