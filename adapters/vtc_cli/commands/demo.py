"""The command `vtc demo`."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadUsage
from ..options import Debug, Keep, method_of
from ..progress import waiting


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
    from ..pictures import check_out

    check_out(out)
    if len(method) > 2:
        raise BadUsage(f"--method may be given twice at most, got {len(method)}: {', '.join(method)}")
    chosen = [method_of(name, None, None) for name in method]
    with waiting("starting torch"):
        from ..demo import run

    run(out, scenes, keep, chosen, seed)
