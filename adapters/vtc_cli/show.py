"""`vtc show`: what the vision encoder sees of a picture, and which patches it keeps."""

from functools import partial
from pathlib import Path

import torch
import typer
from PIL import Image

from vtc_core.methods import Method
from vtc_llava.showing import shown_by_tower
from vtc_pictures import visible

from . import models
from .pictures import write_whole


def run(
    picture: Image.Image,
    name: str,
    model: str | None,
    method: Method,
    out: Path,
    *,
    keep: int | None,
    total: int | None,
) -> None:
    """Write one PNG: the picture as encoded, its kept and merged patches, the score heat map."""
    plan = models.plan(model, keep, method)
    if total is not None:
        models.budgeted(plan, keep, total)
    kept = plan.keep if total is None else None
    with models.loading(plan.source):
        shown = shown_by_tower(plan.source, picture, kept, total, method, dtype=torch.float32)
    title = f"{name} through {plan.name}: {shown.fed} of {shown.tokens} visual tokens"
    figure = shown.figure(visible(title).replace("$", r"\$"))  # which begins a formula
    write_whole(out, partial(figure.savefig, format="png"))
    typer.echo(visible(f"{out}: {plan.spent(shown.fed, shown.tokens, total)}"))
