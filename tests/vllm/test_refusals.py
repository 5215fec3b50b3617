"""What a request may not set or send, each refused by name before an engine sees it; no engine is started."""

from typing import Any

import numpy as np
import pytest
import torch
from engines import processor
from PIL import Image

import vtc_tiny
from vtc_tiny.tokenizer import IMAGE
from vtc_vllm import refusals

PICTURE = vtc_tiny.scene(0).image
SMALL = {"height": 12, "width": 12}


def process(made: Any, image: Any = PICTURE, **kwargs: Any) -> Any:
    return made([5, IMAGE, 9], made.info.parse_mm_data({"image": [image]}), hf_processor_mm_kwargs=kwargs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"crop_size": SMALL},
        {"size": {"shortest_edge": 12}},
        {"images_kwargs": {"crop_size": SMALL}},
        {"do_rescale": False},
        {"device": "meta"},
        {"vtc_keep": 16, "crop_size": SMALL},
    ],
    ids=str,
)
def test_other_settings_of_a_request(kwargs: dict[str, Any]):
    made = processor(vtc_tiny.PATH, {"keep": 16})
    (other,) = set(kwargs) - {"vtc_keep"}
    with pytest.raises(ValueError, match=rf"mm_processor_kwargs of a request may set vtc_keep, got \['{other}'\]"):
        process(made, **kwargs)


def test_a_server_may_name_more_of_them():
    made = processor(vtc_tiny.PATH, {"keep": 16, "mm_processor_kwargs": ["do_rescale", "crop_size"]})
    plain, bright = (process(made, **kwargs) for kwargs in ({}, {"do_rescale": False, "vtc_keep": 16}))
    ours, theirs = (found["mm_kwargs"]["image"][0]["pixel_values"].data for found in (plain, bright))
    assert theirs.max() > 100 * ours.max()
    with pytest.raises(ValueError, match=r"may set crop_size, do_rescale, vtc_keep, got \['size'\]"):
        process(made, size={"shortest_edge": 12})
    with pytest.raises(ValueError, match=r"pictures must become 3 x 96 x 96 pixels a tile, got .*12, 12"):
        process(made, crop_size=SMALL)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite(value: float):
    picture = np.asarray(PICTURE, np.float32).copy()
    picture[7, 8, 1] = value
    with pytest.raises(ValueError, match="pictures must be finite"):
        process(processor(vtc_tiny.PATH, {"keep": 16}), picture)


def test_a_picture_so_thin_that_it_would_be_gigabytes():
    made = processor(vtc_tiny.PATH, {"keep": 16})
    assert process(made, Image.new("RGB", (1, 300)))
    with pytest.raises(ValueError, match=r"1 x 60000 pixels"):
        process(made, Image.new("RGB", (1, 60_000)))


ROWS = torch.ones(4, 128)
WRONG: list[tuple[torch.Tensor, str]] = [
    (ROWS[:0], r"shape \(1 or more, 128\), got \(0, 128\)"),
    (ROWS[:, 1:], r"shape \(1 or more, 128\), got \(4, 127\)"),
    (ROWS.long(), "floating point, got torch.int64"),
    (ROWS.bool(), "floating point, got torch.bool"),
    (ROWS.to(torch.complex64), "floating point, got torch.complex64"),
    (ROWS.to(torch.float8_e4m3fn), "floating point, got torch.float8_e4m3fn"),
    (ROWS.to_sparse(), "dense .*, got torch.float32, torch.sparse_coo"),
    (ROWS.to("meta"), "on cpu .*, got torch.float32, torch.strided, meta"),
    (ROWS * torch.nan, "finite"),
    (ROWS.index_fill(1, torch.tensor([3]), -torch.inf), "finite"),
    (ROWS.double() * 1e300, "finite"),
]


@pytest.mark.parametrize(("rows", "message"), WRONG, ids=[message for _, message in WRONG])
def test_embeddings_that_do_not_fit(rows: torch.Tensor, message: str):
    with pytest.raises(ValueError, match=f"image_embeds must be .*{message}|image_embeds must have .*{message}"):
        refusals.embeddings([ROWS, rows], 128, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_embeddings_of_any_floating_dtype(dtype: torch.dtype):
    """They are cast to the model's, in which they have to be finite as well."""
    refusals.embeddings([ROWS.to(dtype)], 128, torch.bfloat16)
    if dtype != torch.float16:
        with pytest.raises(ValueError, match=r"finite, in the torch.float16 of this server"):
            refusals.embeddings([ROWS.to(dtype) * 1e6], 128, torch.float16)
