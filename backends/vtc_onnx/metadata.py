"""What an exported file says of itself: its metadata properties, `vtc.` before each name, values as JSON."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class Metadata(NamedTuple):
    vtc: str  # version that exported it
    method: dict[str, Any]  # its name and its parameters
    checkpoint: str
    layers: list[int]  # that the method looks at
    feature_layer: list[int]  # hidden states that are the features, embeddings are 0
    tokens: int  # patch tokens of a picture
    keep: int  # the default: what a call keeps that does not set the input `keep`
    static_keep: bool  # whether the graph has no such input
    image_size: int  # pixels, height and width
    channels: int
    dtype: str  # of weights and arithmetic; inputs, features and scores are float32
    quantize: str | None
    # Measured against float32 in torch on sample pictures; None until then.
    overlap: float | None = None  # share of the kept tokens that are the same
    cosine: float | None = None  # mean cosine of their features


MEASURED = ("overlap", "cosine")


def to_properties(values: Mapping[str, object]) -> dict[str, str]:
    return {f"vtc.{name}": json.dumps(value) for name, value in values.items()}


def from_properties(properties: Mapping[str, str], path: str) -> Metadata:
    """A ValueError if there are none; `path` is for the message."""
    found = {name: json.loads(properties[f"vtc.{name}"]) for name in Metadata._fields if f"vtc.{name}" in properties}
    absent = [name for name in Metadata._fields if name not in (*found, *MEASURED)]
    if absent:
        raise ValueError(f"{path} was not exported by vtc_onnx.export: it lacks the metadata {', '.join(absent)}")
    return Metadata(**found)
