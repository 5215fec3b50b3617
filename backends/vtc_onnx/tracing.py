"""A torch module to an ONNX graph by torch.export; how the pruned encoder's own operator is translated.

What is traced is `vtc_torch.PrunedEncoder` itself, so that the file computes what the torch backend does. Only its
`select` is replaced, since a stable sort has no translation to ONNX: by the graph of the `select` of this package.
"""

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import jaxtyping
import onnx_ir as ir
import torch
from onnxscript import opset20
from torch import Tensor, nn

import vtc_torch

from . import graph, tidying


@torch.library.custom_op("vtc::select", mutates_args=())
def select(scores: Tensor, keep: int) -> Tensor:
    """`vtc_torch.select` as one node of a traced graph."""
    return vtc_torch.select(scores, keep)


@select.register_fake
def _(scores: Tensor, keep: int) -> Tensor:
    return scores.new_empty((scores.shape[0], keep), dtype=torch.int64)


def _select_in_onnx(scores: Any, keep: Any) -> Any:
    return graph.select(opset20, scores, keep)


class Exportable(nn.Module):
    """Pixels and `keep` to what a file returns; float32 in and out, whatever dtype the encoder computes in.

    `keep` is an int64 scalar tensor, a runtime input of the file, or left out: then the encoder's own is a constant.
    """

    def __init__(self, encoder: vtc_torch.PrunedEncoder, projector: nn.Module | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.multi_modal_projector = projector or nn.Identity()

    def forward(self, pixel_values: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        if keep is None:
            count = self.encoder.keep
        else:
            count = keep.item()
            torch._check(count >= 1)
            torch._check(count <= self.encoder.tokens)
        dtype = next(self.encoder.parameters()).dtype
        features, indices, scores = self.encoder(pixel_values.to(dtype), choose=lambda x: select(x, count))
        return self.multi_modal_projector(features).float(), indices, scores


def encoder(
    pruned: vtc_torch.PrunedEncoder,
    projector: nn.Module | None,
    picture: tuple[int, int, int],
    dtype: torch.dtype,
    static_keep: bool,
) -> ir.Model:
    """The graph of a file: an encoder for pictures of `picture` (channels, height, width), computing in `dtype`."""
    module = Exportable(pruned, projector).eval()
    if dtype != torch.float32:
        module = copy.deepcopy(module).to(dtype)  # float32 is still needed, to compare with
    inputs = {"pixel_values": torch.zeros(2, *picture)}
    if not static_keep:
        inputs["keep"] = torch.tensor(pruned.keep)
    return tidying.tidy(trace(module, inputs, ("image_features", "indices", "scores")))


def trace(module: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...]) -> ir.Model:
    """The graph of `module`, opset 20. Axis 0 of `pixel_values` is free; the other axes are what `inputs` have."""
    free = {name: {0: torch.export.Dim("batch")} if name == "pixel_values" else {} for name in inputs}
    with torch.no_grad(), _quiet():
        program = torch.export.export(module, (), inputs, dynamic_shapes=free, strict=False)
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=graph.OPSET,
            verbose=False,
            input_names=list(inputs),
            output_names=list(outputs),
            custom_translation_table={torch.ops.vtc.select.default: _select_in_onnx},
        )
    assert exported is not None
    return exported.model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings about its own parts and its log on torchvision, which nobody asked for.

    And without run-time type checks, where a test run has them: while torch.export traces, a size is no int.
    """
    logger, disabled = logging.getLogger("torch.onnx"), jaxtyping.config.jaxtyping_disable
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            yield
        finally:
            jaxtyping.config.update("jaxtyping_disable", disabled)
            logger.setLevel(level)
