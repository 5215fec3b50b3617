"""The command `vtc show`."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import Debug, Image, Keep, Layers, Method, Model, Reduce, Total, method_of
from ..progress import waiting


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
    from ..pictures import check_out, open_picture

    check_out(out, image)
    chosen = method_of(method, layers, reduce, "vtc show asks nothing")
    picture = open_picture(image)
    with waiting("starting torch"):
        from ..show import run

    run(picture, image.name, model, chosen, out, keep=keep, total=total)
