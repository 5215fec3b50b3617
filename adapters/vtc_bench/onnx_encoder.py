"""The ways to run a CLIP encoder in ONNX Runtime, on random weights: pruned and whole, exported with the same options.

Whole is the tower that torch runs, all of its layers: what stock LLaVA pays. An exporter leaves out the last one on its
own when only the feature layer is asked for, so that there is a third way, `TRIMMED`.
"""

import copy
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from torch import Tensor, nn

import vtc_onnx
from vtc_core.methods import Method
from vtc_onnx import sessions, tidying, tracing, writing

from . import torch_encoder
from .costs import Geometry

PACKAGES = ("onnxruntime", "torch", "transformers")
PRUNED, WHOLE, TRIMMED = "pruned", "unpruned", "unpruned, without its last layer"


class Whole(nn.Module):
    """The tower to its feature layer -2, and with `all_layers` to its end, which then is an output as well."""

    def __init__(self, tower: Any, all_layers: bool) -> None:
        super().__init__()
        self.tower = tower
        self.all_layers = all_layers

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        out = self.tower(pixel_values, output_hidden_states=True)
        features = out.hidden_states[-2][:, 1:]
        return (features, out.last_hidden_state) if self.all_layers else (features,)


def float32_runs(g: Geometry, batch: int, keep: int, method: Method) -> dict[str, Callable[[], Any]]:
    named = runs(g, keep, method, names=(PRUNED, WHOLE))
    pixels = torch_encoder.pixels(g, batch).numpy()
    return {name: partial(run, pixels) for name, run in named.items()}


def runs(
    g: Geometry,
    keep: int,
    method: Method,
    quantize: str | None = None,
    names: tuple[str, ...] = (PRUNED, WHOLE, TRIMMED),
) -> dict[str, Callable[[np.ndarray], Any]]:
    """Name to what makes features of pixels; the pruned one returns `Pruned`. Files are gone once they are open."""
    tower = torch_encoder.tower(g, "eager")
    named: dict[str, Callable[[np.ndarray], Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "encoder.onnx")
        for name in names:
            if name == PRUNED:
                encoder = torch_encoder.pruned(tower, keep, method)
                vtc_onnx.export(encoder, path, quantize=quantize, overwrite=True)
                named[name] = vtc_onnx.PrunedEncoder(path)
            else:
                session = whole(g, tower, name == WHOLE, quantize, Path(folder))
                named[name] = partial(_features, session)
    return named


def whole(
    g: Geometry, tower: Any, all_layers: bool, quantize: str | None, folder: Path
) -> onnxruntime.InferenceSession:
    """The unpruned tower through the same exporter, tidying and quantisation."""
    inputs = {"pixel_values": torch.zeros(2, 3, g.image_size, g.image_size)}
    outputs = ("image_features", "last_hidden_state")[: 1 + all_layers]
    model = tidying.tidy(tracing.trace(Whole(copy.deepcopy(tower), all_layers).eval(), inputs, outputs))
    model = writing.quantized(model, folder) if quantize else model
    ir.save(model, folder / "whole.onnx")
    return onnxruntime.InferenceSession(folder / "whole.onnx", providers=["CPUExecutionProvider"])


def _features(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> np.ndarray:
    return sessions.results(session, {"pixel_values": pixels})[0]
