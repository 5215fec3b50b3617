"""What the conformance suite asks of a backend besides the verbs (conformance/README.md, "The protocol")."""

import functools
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtc_core import Pruned, checks
from vtc_core.methods import VtcCls

from . import sessions
from .encoder import PrunedEncoder
from .export import export

dtypes = sessions.FLOATS
encoder_dtypes = ("float16", "float32")  # onnxruntime has no convolution and no error function for float64 on CPU


def from_numpy(array: np.ndarray) -> np.ndarray:
    return array


def to_numpy(x: np.ndarray) -> np.ndarray:
    return x


def load_encoder(
    checkpoint_dir: str, *, keep: Any, layers: int | Sequence[int], reduce: str
) -> Callable[[np.ndarray], Pruned]:
    """Pixels to `Pruned`: the checkpoint exported in its own dtype to a temporary file, and opened."""
    encoder = _exported(checkpoint_dir, tuple(layers) if isinstance(layers, Sequence) else layers, reduce)
    checks.budget(keep, encoder.metadata.tokens)
    return functools.partial(encoder, keep=keep)


@functools.cache  # an export takes seconds, and one file serves every `keep`
def _exported(checkpoint_dir: str, layers: int | tuple[int, ...], reduce: str) -> PrunedEncoder:
    config = json.loads(Path(checkpoint_dir, "config.json").read_text())
    dtype = config.get("dtype", config.get("torch_dtype"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "encoder.onnx")
        export(checkpoint_dir, path, 1, VtcCls(layers, reduce), dtype=dtype)
        return PrunedEncoder(path)
