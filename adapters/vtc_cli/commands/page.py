"""The command `vtc page`: its options, its help, and what is said of the folder that it writes and serves."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import BadUsage, checking_place
from ..options import Debug, Keep, Method, Model, check_installed, method_of
from ..progress import waiting


def page(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder, for any web server.", show_default=False)],
    model: Model = None,
    keep: Keep = None,
    method: Method = None,
    quantize: Annotated[
        Literal["int8"] | None,
        typer.Option(help="The encoder's weights in 8 bits; look at the answers.", show_default=False),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Then serve it to this machine; a page that is there, as it is.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --serve; 0 takes a free one.")] = 8000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a page that is there.")] = False,
    debug: Debug = False,
) -> None:
    """Write a web page that answers questions in the browser, with all and with few visual tokens, side by side.

    All of it runs in the browser, and nothing is sent anywhere. npm is needed once, to fetch transformers.js and
    onnxruntime-web (35 MB). Other web servers should send the headers that WebAssembly needs for threads:
    Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.

    Example: [bold]vtc page site --serve[/bold]
    """
    chosen = method_of(method, None, None, "the page encodes a picture before anything is asked")
    check_installed("llava,onnx", "onnxruntime", "onnxscript")
    import vtc_page

    there = vtc_page.is_page(out)
    if serve and there and not overwrite:
        if (model, keep, method, quantize) != (None,) * 4:
            raise BadUsage(f"{out} is there already and is served as it is: --overwrite writes it anew")
        return _serve(out, port)
    with checking_place():
        vtc_page.check_place(out, overwrite)
    with waiting("starting torch"):
        from .. import models
        from ..export import megabytes, mendable, steps
    with mendable():
        plan = models.plan(model, keep, chosen)
        with steps() as step:
            made = vtc_page.build(
                plan.source, out, plan.keep, chosen, quantize=quantize, overwrite=overwrite, progress=step
            )
    from vtc_pictures import visible

    typer.echo(visible(f"{out}: {plan.counted}"))
    sizes = (("model", made.model), ("onnxruntime-web", made.wasm), ("transformers.js and the page", made.rest))
    for name, count in sizes:
        typer.echo(f"  {name:<28}  {megabytes(count):>12}")
    if serve:
        _serve(out, port)


def _serve(out: Path, port: int) -> None:
    import vtc_page

    try:
        server = vtc_page.serve(out, port)
    except OSError as error:
        raise BadUsage(f"--port {port} cannot be served on: {error.strerror or error}") from error
    with server:
        typer.echo(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)")
        server.serve_forever()
