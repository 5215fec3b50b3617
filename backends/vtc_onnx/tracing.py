"""A torch module to an ONNX graph by torch.export; how the pruned encoder's own operator is translated.

What is traced is `vtc_torch.PrunedEncoder` itself, so that the file computes what the torch backend does. Only the
verbs that its method chooses with are replaced, by nodes that `operators` translates.
"""

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator

import jaxtyping
import onnx_ir as ir
import torch
from torch import Tensor, nn

import vtc_torch
from vtc_core.methods import Choice, Seen

from . import graph, operators, tidying

OUTPUTS = ("image_features", "indices", "scores")


class Exportable(nn.Module):
    """Pixels and `keep` to what a file returns; float32 in and out, whatever dtype the encoder computes in.

    With `weights`, of a merging method, also of which patches each fed token is made (`Choice.weights`).
    `keep` is an int64 scalar tensor, a runtime input of the file, or left out: then the encoder's own is a constant.
    """

    def __init__(self, encoder: vtc_torch.PrunedEncoder, weights: bool) -> None:
        super().__init__()
        self.encoder, self.weights = encoder, weights

    def forward(self, pixel_values: Tensor, keep: Tensor | None = None) -> tuple[Tensor, ...]:
        if keep is None:
            count = self.encoder.keep
        else:
            count = keep.item()
            torch._check(count >= 1)
            torch._check(count <= self.encoder.tokens)
        dtype = next(self.encoder.parameters()).dtype
        choices: list[Choice] = []

        def choose(seen: Seen) -> Choice:
            choices.append(self.encoder.method.choose(operators.VERBS, seen, count))  # type: ignore[arg-type]
            return choices[0]

        made = self.encoder(pixel_values.to(dtype), choose=choose)
        results = made.features.float(), made.indices, made.scores.float()
        return (*results, choices[0].weights.float()) if self.weights else results


def encoder(
    pruned: vtc_torch.PrunedEncoder,
    picture: tuple[int, int, int],
    dtype: torch.dtype,
    static_keep: bool,
    weights: bool = False,
) -> ir.Model:
    """The graph of a file: an encoder for pictures of `picture` (channels, height, width), computing in `dtype`."""
    module = Exportable(pruned, weights).eval()
    if dtype != torch.float32:
        module = copy.deepcopy(module).to(dtype)  # float32 is still needed, to compare with
    inputs = {"pixel_values": torch.zeros(2, *picture)}
    if not static_keep:
        inputs["keep"] = torch.tensor(pruned.keep)
    return tidying.tidy(trace(module, inputs, OUTPUTS + ("weights",) * weights))


def trace(module: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...]) -> ir.Model:
    """The graph of `module`, opset 20. Axis 0 of `pixel_values` is free; the other axes are what `inputs` have."""
    free = {name: {0: torch.export.Dim("batch")} if name == "pixel_values" else {} for name in inputs}
    with torch.no_grad(), quiet():
        program = torch.export.export(module, (), inputs, dynamic_shapes=free, strict=False)
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=graph.OPSET,
            verbose=False,
            input_names=list(inputs),
            output_names=list(outputs),
            custom_translation_table=operators.TRANSLATIONS,
        )
    assert exported is not None
    return exported.model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
