"""`vtc show`: what the vision encoder sees of a picture, and which patches it keeps."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from jaxtyping import Float
from PIL import Image
from transformers.models.auto.image_processing_auto import AutoImageProcessor  # 5.16's other name needs torchvision

from vtc_core.methods import Method
from vtc_pictures import visible
from vtc_torch import PrunedEncoder

from . import models
from .drawing import Kept, Picture, kept_figure, scores_label
from .pictures import write_whole


@torch.inference_mode()
def show(
    picture: Image.Image,
    name: str,
    model: str | None,
    keep: int | None,
    method: Method,
    out: Path,
) -> None:
    """Write one PNG: the picture as encoded, its kept and merged patches, the score heat map."""
    plan = models.plan(model, keep, method)
    with models.loading(plan.source):
        processor = AutoImageProcessor.from_pretrained(plan.source)
        project = "projected" in method.needs
        encoder = PrunedEncoder.from_pretrained(plan.source, plan.keep, method, project=project, dtype=torch.float32)
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    choice = encoder.choose(pixels)
    weights = None if choice.weights is None else choice.weights[0].numpy()
    kept = Kept(as_seen(pixels[0].numpy(), processor), choice.indices[0].numpy(), choice.scores[0].numpy(), weights)
    title = f"{name} through {plan.name}: {plan.keep} of {plan.tokens} visual tokens"
    words = visible(title).replace("$", r"\$")  # which begins a formula
    figure = kept_figure(kept, words, scores_label(method, encoder.layers))
    write_whole(out, partial(figure.savefig, format="png"))
    typer.echo(visible(f"{out}: {plan.counted}"))


def as_seen(pixels: Float[np.ndarray, "3 height width"], processor: Any) -> Picture:
    """Pixel values back to the picture they were made of: resized and cropped, but no longer normalised."""
    values = pixels.transpose(1, 2, 0)
    if processor.do_normalize:
        values = values * np.array(processor.image_std) + np.array(processor.image_mean)
    if processor.do_rescale:
        values = values / processor.rescale_factor
    return values.round().clip(0, 255).astype(np.uint8)
