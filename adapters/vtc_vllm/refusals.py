"""What of a request is refused before it comes near the engine, each with a ValueError: a 400 to its client alone.

An error in the engine's own process ends it, and all requests with it. In stock vLLM (0.32) two kinds of input get
there: `mm_processor_kwargs` that make pixels of another size than the tower's (`crop_size`), and embeddings, even those
that fit, if two of different lengths come at once. Numbers that are not finite get further: they stay in the blocks of
the KV cache when their request has ended, and make NaN of the answers of others, see `encoder.PrunedModel`.

What vLLM itself cannot read (a tensor that is nested, a file that is no pickle, `truncate_prompt_tokens` that cuts a
picture) it answers with 500, before anything here is asked; the engine lives on. `mm_processor_kwargs` of a request
without a picture are used by nobody, and not looked at.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def names(kwargs: Mapping[str, Any], settable: Collection[str]) -> None:
    """A request's `mm_processor_kwargs`: none but those that it may set."""
    others = sorted(set(kwargs) - set(settable))
    if others:
        raise ValueError(f"mm_processor_kwargs of a request may set {', '.join(sorted(settable))}, got {others}")


def embeddings(images: Sequence[Any], width: int, dtype: torch.dtype) -> None:
    """Pictures that were encoded before: rows of finite numbers, of the language model's width, in its `dtype` too."""
    for rows in images:
        name, shape = "image_embeds", tuple(rows.shape)
        if rows.dtype not in _FLOATS or rows.layout != torch.strided or rows.device.type != "cpu":
            came = f"{rows.dtype}, {rows.layout}, {rows.device}"
            raise ValueError(f"{name} must be a dense tensor on cpu of floating point, got {came}")
        if len(shape) != 2 or not shape[0] or shape[1] != width:
            raise ValueError(f"{name} must have the shape (1 or more, {width}), got {shape}")
        if not bool(rows.detach().to(dtype).isfinite().all()):
            raise ValueError(f"{name} must be finite, in the {dtype} of this server as well")


def thin(pictures: Iterable[Any], edge: int) -> None:
    """Pictures that are resized to a shortest edge, uncut: of 1 x 20000 pixels 6 GB would be made for 336."""
    for width, height in (picture.size for picture in pictures if isinstance(picture, Image.Image)):
        resized, most = edge**2 * max(width, height) // max(1, min(width, height)), Image.MAX_IMAGE_PIXELS or 0
        if resized > most > 0:
            raise ValueError(
                f"pictures must not be so thin, got {width} x {height} pixels: with a shortest edge of {edge}, as this "
                f"model's processor makes it, these are {resized} (at most {most}, Pillow's MAX_IMAGE_PIXELS)"
            )


def pixels(pixel_values: Tensor | Iterable[Tensor], side: int) -> None:
    """What the processor made of pictures: (..., 3, side, side), finite."""
    for picture in pixel_values:
        if tuple(picture.shape[-3:]) != (3, side, side):
            raise ValueError(f"pictures must become 3 x {side} x {side} pixels a tile, got {tuple(picture.shape)}")
        if not bool(picture.isfinite().all()):
            raise ValueError("pictures must be finite, got NaN or infinite pixels")
