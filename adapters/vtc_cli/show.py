"""`vtc show`: what the vision encoder sees of a picture, and which patches it keeps."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from jaxtyping import Float
from PIL import Image
from transformers.models.auto.image_processing_auto import AutoImageProcessor  # 5.16's other name needs torchvision

from vtc_torch import PrunedEncoder

from . import models
from .drawing import Kept, Picture, kept_figure, scores_label


@torch.inference_mode()
def show(
    picture: Image.Image,
    name: str,
    model: str | None,
    keep: int | None,
    layers: int,
    reduce: str,
    signal: str,
    out: Path,
) -> None:
    """Write one PNG: the picture as encoded, its kept patches, the score heat map."""
    plan = models.plan(model, keep, layers, reduce, signal)
    with models.loading(plan.source):
        processor = AutoImageProcessor.from_pretrained(plan.source)
        encoder = PrunedEncoder.from_pretrained(
            plan.source, plan.keep, layers, reduce, signal=signal, dtype=torch.float32
        )
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    pruned = encoder(pixels)
    kept = Kept(as_seen(pixels[0].numpy(), processor), pruned.indices[0].numpy(), pruned.scores[0].numpy())
    title = f"{name} through {plan.name}: {plan.keep} of {plan.tokens} visual tokens"
    kept_figure(kept, title, scores_label(encoder.layers, encoder.reduce, signal)).savefig(out)
    typer.echo(f"{out}: {plan.counted}")


def as_seen(pixels: Float[np.ndarray, "3 height width"], processor: Any) -> Picture:
    """Pixel values back to the picture they were made of: resized and cropped, but no longer normalised."""
    values = pixels.transpose(1, 2, 0)
    if processor.do_normalize:
        values = values * np.array(processor.image_std) + np.array(processor.image_mean)
    if processor.do_rescale:
        values = values / processor.rescale_factor
    return values.round().clip(0, 255).astype(np.uint8)
