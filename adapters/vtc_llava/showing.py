"""A picture or video with the patches that are kept of it, as a figure: of a patched model, or of a tower alone."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from vtc_core.methods import method_of, refuse_without_prompt
from vtc_pictures import read_file
from vtc_torch import Pruned, PrunedEncoder, held, loading
from vtc_torch.configuration import read_config
from vtc_torch.processors import read_image_processor

from . import mixing, packing
from .budget import budget
from .canvas import Canvas, Kept, Picture, joined
from .drawing import Drawing, kept_figure, scores_label
from .families import FAMILIES, checked
from .geometry import Layout
from .geometry import one_tile as layout_of_one_tile
from .words import prompted


class Shown(NamedTuple):
    """What there is to draw, and how many tokens the language model is fed, of how many."""

    canvas: Canvas
    label: str
    fed: int
    tokens: int

    def figure(self, title: str) -> Drawing:
        return kept_figure(self.canvas, title, self.label, self.fed, self.tokens)


@torch.inference_mode()
def shown_by_tower(
    source: str, image: Image.Image | str | Path, keep: Any, total: Any, method: Any, **model_kwargs: Any
) -> Shown:
    """As `vtc_llava.show`, before it is drawn."""
    method, budgeted = method_of(method or "vtc-cls"), budget(keep, total)
    refuse_without_prompt(method, "it is shown a picture alone")
    hub = loading.hub_kwargs(model_kwargs)
    config = read_config(source, **hub)
    family = FAMILIES.get(config.model_type)
    if family:
        checked(family, config, keep, total, method)
    elif total is not None:
        raise ValueError(f"total is for pictures of several tiles, got a tower alone: pass keep={total}")
    held.check_tower(source, config, **hub)
    processor = read_image_processor(source, loading.tower_config(config, source), **hub)
    project = "projected" in method.needs or (family is not None and family.blend_projected and method.merges)
    encoder = PrunedEncoder.from_pretrained(source, keep or 1, method, project=project, **model_kwargs)
    opened, cutting = _opened(image), family.cutting if family else {}
    inputs = processor(images=opened, return_tensors="pt", **cutting).to(encoder.tower.device, encoder.tower.dtype)
    pixels = _pixels(inputs)
    label = scores_label(method, encoder.layers)
    if not family or not family.several:
        choice = encoder.choose(pixels)
        pruned = Pruned(torch.empty(0), choice.indices, choice.scores)
        layout = layout_of_one_tile(side=int(encoder.tokens**0.5))
        canvas = _canvas(pixels, pruned, mixing.of_row(choice, 0), layout, processor)
        return Shown(canvas, label, encoder.keep, encoder.tokens)
    size = inputs["image_sizes"][0] if "image_sizes" in inputs else (opened.height, opened.width)
    layout = family.layouts(config, processor)["image"](*map(int, size))
    plan = packing.plan([layout], [budgeted], encoder.tokens, method)
    tiles = _tiles(pixels, layout)
    looked = encoder.look(tiles)
    projector = encoder.projector or torch.nn.Identity()
    ended = packing.choose(plan, looked, projector, family.blend_projected)
    _, pruned = packing.feed(plan, looked, ended, projector, None, family.blend_projected)
    canvas = _canvas(tiles, pruned, mixing.of_tiles(plan, ended, 0), layout, processor)
    return Shown(canvas, label, plan.lengths[0], len(layout.tile))


@torch.no_grad()
def shown_by_model(handle: Any, image: Any, video: Any, prompt: str | None = None) -> Shown:
    """What a patched model keeps of a picture or of a video's frames; the language model is not run."""
    if (image is None) == (video is None):
        raise TypeError("exactly one of image and video is needed")
    if prompt is None:
        refuse_without_prompt(handle.settings.method, 'prompt is None: give prompt="what is asked"')
    processor, model = handle.processor, handle.model
    kind = "image" if video is None else "video"
    of_kind = getattr(processor, f"{kind}_processor")
    given = {"images": [_opened(image)]} if video is None else {"videos": [video]}
    text = f"{getattr(processor, f'{kind}_token')} {prompt or ''}".rstrip()
    inputs = processor(text=text, **given, return_tensors="pt").to(model.dtype)
    kind = kind if kind in handle.family.towers else "image"  # InternVL's frames are tiles
    with prompted(handle, inputs["input_ids"]):
        getattr(model.model, f"get_{kind}_features")(**inputs)
    layout, weights = handle.seen[kind][0], handle.weights(0)
    canvas = _canvas(_tiles(_pixels(inputs), layout), handle.last, weights, layout, of_kind)
    return Shown(canvas, scores_label(handle.settings.method, handle.walk.layers), len(weights), len(layout.tile))


def _canvas(
    pixels: Float[torch.Tensor, "tiles 3 height width"],
    pruned: Pruned,
    weights: Float[torch.Tensor, "fed patches"],
    layout: Layout,
    processor: Any,
) -> Canvas:
    of_tiles = weights.cpu().numpy().reshape(len(weights), layout.tiles, -1).swapaxes(0, 1)
    indices, scores = pruned.indices.cpu().numpy(), pruned.scores.float().cpu().numpy()
    rows = zip(pixels.float().cpu().numpy(), indices, scores, of_tiles, strict=True)
    return joined([Kept(as_seen(tile, processor), *row) for tile, *row in rows], layout)


def _pixels(inputs: Any) -> torch.Tensor:
    """Under whichever name a processor gives them: pixel_values, pixel_values_images, pixel_values_videos."""
    return next(value for name, value in inputs.items() if name.startswith("pixel_values"))


def _tiles(pixels: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Of the first picture or video: pixel values have an axis of tiles where there can be several, filled up."""
    return pixels[0, : layout.tiles] if pixels.dim() == 5 else pixels[: layout.tiles]


def as_seen(pixels: Float[np.ndarray, "3 height width"], processor: Any) -> Picture:
    """Pixel values back to the picture they were made of: resized and cropped, but no longer normalised."""
    values = pixels.transpose(1, 2, 0)
    if getattr(processor, "do_normalize", True):
        values = values * np.array(processor.image_std) + np.array(processor.image_mean)
    if getattr(processor, "do_rescale", True):
        values = values / processor.rescale_factor
    return values.round().clip(0, 255).astype(np.uint8)


def _opened(image: Image.Image | str | Path) -> Image.Image:
    return image if isinstance(image, Image.Image) else read_file(image)
