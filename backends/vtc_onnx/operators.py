"""What a method is traced with: torch's verbs, where a verb is one node of its own if it has a graph of its own.

Each of them is torch's (or the catalogue's) function while torch runs it, and its graph in the exported file.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from onnx import TensorProto
from onnxscript import opset20
from torch import Tensor

import vtc_core
import vtc_torch
from vtc_core.methods import greedy, pact

from . import graph, loops


@torch.library.custom_op("vtc::select", mutates_args=())
def select(scores: Tensor, keep: int) -> Tensor:
    return vtc_torch.select(scores, keep)


@torch.library.custom_op("vtc::farthest", mutates_args=())
def farthest(distance: Tensor, start: Tensor, keep: int) -> Tensor:
    return greedy.farthest(vtc_torch, distance, start, keep)


@torch.library.custom_op("vtc::disperse", mutates_args=())
def disperse(similarity: Tensor, start: Tensor, keep: int) -> Tensor:
    return greedy.disperse(vtc_torch, similarity, start, keep)


@torch.library.custom_op("vtc::cover", mutates_args=())
def cover(similarity: Tensor, keep: int) -> Tensor:
    return greedy.cover(vtc_torch, similarity, keep)


@torch.library.custom_op("vtc::cover_in_order", mutates_args=())
def cover_in_order(distance: Tensor, order: Tensor, among: Tensor, cutoff: float) -> Tensor:
    return pact.cover_in_order(vtc_torch, distance, order, among, cutoff)


def _indices(scores: Tensor, *arguments: Any) -> Tensor:
    return scores.new_empty((scores.shape[0], arguments[-1]), dtype=torch.int64)


for operator in (select, farthest, disperse, cover):
    operator.register_fake(_indices)


@cover_in_order.register_fake
def _(distance: Tensor, order: Tensor, among: Tensor, cutoff: float) -> Tensor:
    return torch.empty_like(among)


def scan(step: Callable[..., Any], state: tuple[Any, ...], count: Any) -> Any:
    """Unrolled, which a run-time number of steps does not allow; the rules above are loops."""
    if not isinstance(count, int):
        raise ValueError("a loop of as many steps as keep says at run time has no graph of its own here")
    return vtc_core.scan(step, state, count)


VERBS = SimpleNamespace(
    score=vtc_torch.score,
    gather=vtc_torch.gather,
    scan=scan,
    select=select,
    farthest=farthest,
    disperse=disperse,
    cover=cover,
    cover_in_order=cover_in_order,
)


def _select_in_onnx(scores: Any, keep: Any) -> Any:
    return graph.select(opset20, scores, keep)


def _sort_in_onnx(x: Any, stable: bool = False, dim: int = -1, descending: bool = False) -> Any:
    """TopK gives equals to the lower index: a stable sort, which has no translation of its own."""
    op: Any = opset20
    return op.TopK(x, op.Gather(op.Shape(x), graph.ints(op, dim)), axis=dim, largest=int(descending), sorted=1)


def _any_in_onnx(x: Any, dim: int, keepdim: bool = False) -> Any:
    """Of nothing, none: torch's own translation takes a maximum, which of nothing is a number other than 0."""
    op: Any = opset20
    count = op.ReduceSum(op.Cast(x, to=TensorProto.INT32), graph.ints(op, dim), keepdims=int(keepdim))
    return op.Cast(count, to=TensorProto.BOOL)


TRANSLATIONS: dict[Callable[..., Any], Any] = {
    torch.ops.vtc.select.default: _select_in_onnx,
    torch.ops.vtc.farthest.default: loops.farthest,
    torch.ops.vtc.disperse.default: loops.disperse,
    torch.ops.vtc.cover.default: loops.cover,
    torch.ops.vtc.cover_in_order.default: loops.cover_in_order,
    torch.ops.aten.sort.stable: _sort_in_onnx,
    torch.ops.aten.any.dim: _any_in_onnx,
}
