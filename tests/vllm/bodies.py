"""Parts of the JSON body of a request: messages, pictures, embeddings of them."""

import base64
import io
import random
from typing import Any

import numpy as np
import torch
from PIL import Image

WIDTH = 128  # of the embedded language model


def content(*parts: Any) -> list[Any]:
    return [*parts, {"type": "text", "text": "how many objects ?"}]


def picture(image: Image.Image, form: str = "PNG", **more: Any) -> dict[str, Any]:
    return of_bytes(saved(image, form), **more)


def of_bytes(data: bytes, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(data)}"}, **more}


def embeddings(tensor: Any, **more: Any) -> dict[str, Any]:
    """As an array where it can be one, else pickled."""
    buffer = io.BytesIO()
    if isinstance(tensor, np.ndarray):
        np.save(buffer, tensor)
    else:
        torch.save(tensor, buffer)
    return {"type": "image_embeds", "image_embeds": encoded(buffer.getvalue()), **more}


def noise(lots: random.Random, width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), lots.randbytes(width * height * 3))


def saved(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def rows_of(lots: random.Random, rows: int, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(lots.randrange(2**32)).standard_normal((rows, width)).astype(np.float32)
