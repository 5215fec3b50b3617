"""The verbs of `vtc_core.spec` as ONNX graphs, opset 20; clause numbers are the specification's.

A verb is written once, as calls of ONNX operators on `op`. That is a `Graph` here, which makes a model of them, and
onnxscript's opset during an export, which puts the same nodes into an encoder.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

OPSET = 20
IR_VERSION = 10  # what onnxruntime 1.20 still loads
AXES = {
    "query": "batch heads head_dim",
    "keys": "batch heads length head_dim",
    "scale": "",
    "weights": "batch heads tokens",
    "cls_attention": "layers batch heads tokens",
    "scores": "batch tokens",
    "keep": "",
    "features": "batch tokens dim",
    "indices": "batch keep",
    "kept": "batch keep dim",
}
REDUCE = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}


def attend(op: Any, query: Any, keys: Any, scale: Any) -> Any:
    """S1: one row of softmax attention, in the dtype of `scale`; the CLS column is dropped, not renormalised."""
    column = op.Unsqueeze(op.CastLike(query, scale), ints(op, -1))  # batch heads head_dim 1
    products = op.MatMul(op.CastLike(keys, scale), column)  # batch heads 1+tokens 1
    weights = op.Softmax(op.Mul(scale, op.Squeeze(products, ints(op, -1))), axis=-1)
    return op.Slice(weights, ints(op, 1), ints(op, np.iinfo(np.int64).max), ints(op, -1))


def score(op: Any, cls_attention: Any, reduce: str, wide: int) -> Any:
    """S2: mean over heads, then `reduce` over layers, in the dtype `wide` (a `TensorProto` element type)."""
    per_layer = op.ReduceMean(op.Cast(cls_attention, to=wide), ints(op, 2), keepdims=0)  # layers batch tokens
    reduced = getattr(op, REDUCE[reduce])(per_layer, ints(op, 0), keepdims=0)
    if reduce in ("sum", "mean"):
        return reduced
    # ONNX does not say what becomes of NaN in a maximum; here it stays, as in NumPy: NaN or zero is added.
    nan = op.Where(op.IsNaN(per_layer), per_layer, op.CastLike(op.Constant(value_float=0.0), per_layer))
    return op.Add(reduced, op.ReduceSum(nan, ints(op, 0), keepdims=0))


def select(op: Any, scores: Any, keep: Any) -> Any:
    """S3: the `keep` highest scores in raster order; of equals the lower index, NaN after -inf. `keep` is a scalar.

    TopK gives equals to the lower index (its definition says so) but has no rule for NaN. So like a radix sort: by
    value with NaN as -inf, then by whether it is NaN, which leaves the order of all others as it was.
    """
    nan = op.IsNaN(scores)
    values = op.Where(nan, op.CastLike(op.Constant(value_float=-np.inf), scores), scores)
    _, by_value = op.TopK(values, op.Shape(scores, start=1), axis=-1, largest=1, sorted=1)
    last = op.GatherElements(op.Cast(nan, to=TensorProto.FLOAT), by_value, axis=-1)  # 1 for NaN, in order of value
    count = op.Reshape(keep, ints(op, 1))
    _, chosen = op.TopK(last, count, axis=-1, largest=0, sorted=1)
    kept = op.GatherElements(by_value, chosen, axis=-1)
    indices, _ = op.TopK(kept, count, axis=-1, largest=0, sorted=1)
    return indices


def gather(op: Any, features: Any, indices: Any) -> Any:
    """S5: the kept tokens, bit for bit."""
    return op.GatherND(features, op.Unsqueeze(indices, ints(op, -1)), batch_dims=1)


def prune(op: Any, features: Any, cls_attention: Any, keep: Any, reduce: str, wide: int) -> tuple[Any, Any, Any]:
    """S2 to S5 in a row: score the tokens, select `keep` of them, gather their features."""
    scores = score(op, cls_attention, reduce, wide)
    indices = select(op, scores, keep)
    return gather(op, features, indices), indices, scores


def ints(op: Any, *values: int) -> Any:
    return op.Constant(value_ints=list(values))


class Graph:
    """ONNX operators as methods: each call adds a node and returns the names of what it makes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []

    def __getattr__(self, operator: str) -> Any:
        count = len(onnx.defs.get_schema(operator, OPSET).outputs)

        def add(*inputs: str, **attributes: Any) -> str | tuple[str, ...]:
            name = f"{operator.lower()}_{len(self.nodes)}"
            results = [name] if count == 1 else [f"{name}_{number}" for number in range(count)]
            self.nodes.append(helper.make_node(operator, inputs, results, name=name, **attributes))
            return results[0] if count == 1 else tuple(results)

        return add

    def model(self, name: str, inputs: dict[str, Any], outputs: dict[str, tuple[str, Any]]) -> onnx.ModelProto:
        """A model of the nodes so far. Both name values and their element types; `outputs` by what the nodes made."""
        renamed = {value: name for name, (value, _) in outputs.items()}
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [renamed.get(x, x) for x in names]
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(x, kind, AXES[x].split()) for x, kind in inputs.items()],
            [helper.make_tensor_value_info(x, kind, AXES[x].split()) for x, (_, kind) in outputs.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def verb(name: str, reduce: str, **dtypes: np.dtype) -> onnx.ModelProto:
    """The model of a verb for arguments of these dtypes; `reduce` matters to `score` and `prune` only."""
    op = Graph()
    inputs: dict[str, Any] = {x: helper.np_dtype_to_tensor_dtype(dtype) for x, dtype in dtypes.items()}
    x: Any = tuple(inputs)  # in a graph, values are called by their names
    wide: Any = helper.np_dtype_to_tensor_dtype(np.result_type(dtypes.get("cls_attention", "f4"), "f4"))
    if name == "attend":
        results = {"weights": attend(op, *x)}
    elif name == "score":
        results = {"scores": score(op, *x, reduce=reduce, wide=wide)}
    elif name == "select":
        results = {"indices": select(op, *x)}
    elif name == "gather":
        results = {"kept": gather(op, *x)}
    else:
        results = dict(zip(("kept", "indices", "scores"), prune(op, *x, reduce=reduce, wide=wide), strict=True))
    kinds = {
        "weights": inputs.get("scale"),
        "scores": wide,
        "indices": TensorProto.INT64,
        "kept": inputs.get("features"),
    }
    return op.model(name, inputs, {result: (value, kinds[result]) for result, value in results.items()})
