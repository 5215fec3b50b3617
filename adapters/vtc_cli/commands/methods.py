"""The command `vtc methods`."""

from typing import Annotated

import typer


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="All about one of them.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: names, parameters, sources.")] = False,
) -> None:
    """List the methods that --method takes: what each looks at, its parameters, and who published it.

    Example: [bold]vtc methods visionzip[/bold]
    """
    from ..methods import run

    run(name, as_json)
