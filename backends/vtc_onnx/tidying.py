"""A traced graph made readable: names from the model's modules, named axes, transposed weights stored as they are used.

Also smaller and private: torch's notes on every node, with the paths of this machine's source files, go.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

# Axes of what goes in and out, in the words of the glossary.
AXES = {
    "pixel_values": "batch channels height width",
    "image_features": "batch keep dim",
    "indices": "batch keep",
    "scores": "batch tokens",
    "weights": "batch keep tokens",
}
# What the operations of the encoder's own forward pass are for, by torch's names of them.
STEPS = {"sym_size": "batch", "_local_scalar_dense": "keep", "arange": "gather", "index": "gather"}
_SCOPES, _FX_NODE = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.fx_node"
# Of `tracing.Exportable`; what follows are the model's own names.
_PREFIX, _PROJECTOR = re.compile(r"^(encoder\.tower\.|encoder$)"), re.compile(r"^encoder\.projector")


def _own_name(name: str) -> str:
    return _PROJECTOR.sub("multi_modal_projector", _PREFIX.sub("", name))


def tidy(model: ir.Model) -> ir.Model:
    """All of it, in place."""
    _store_transposed(model.graph)
    _name_nodes(model.graph)
    _name_constants(model.graph)
    _name_axes(model.graph)
    for node in model.graph:
        for thing in (node, *node.outputs):
            thing.metadata_props.clear()
        node.doc_string = None
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    return model


def _store_transposed(graph: Any) -> None:
    """torch multiplies by a weight's transpose. Stored as such, nothing has to turn it when a session starts.

    Quantisation needs it, too: it wants the weight itself in a MatMul.
    """
    for node in list(graph):
        weight = node.inputs[0] if node.op_type == "Transpose" else None
        if weight is None or weight.name not in graph.initializers:
            continue
        numbers = weight.const_value.numpy().transpose(node.attributes.get_ints("perm"))
        turned = ir.val(f"{weight.name}.T", const_value=ir.tensor(np.ascontiguousarray(numbers)))
        graph.register_initializer(turned)
        node.outputs[0].replace_all_uses_with(turned)
        graph.remove(node, safe=True)
        if not weight.uses():
            graph.initializers.pop(weight.name)


def _name_nodes(graph: Any) -> None:
    """`encoder/layers.5/self_attn/q_proj/MatMul`: what a node is part of, and its operator; values by their node."""
    names = Counter()
    for node, part in zip(graph, _parts(graph), strict=True):
        stem = re.sub(r"\.(?!\d)", "/", f"{part}.{node.op_type}")
        names[stem] += 1
        node.name = stem if names[stem] == 1 else f"{stem}_{names[stem] - 1}"
        for number, value in enumerate(node.outputs):
            if not value.is_graph_output():
                value.name = node.name if len(node.outputs) == 1 else f"{node.name}.{number}"


def _parts(graph: Any) -> Iterator[str]:
    """What each node is part of: a module, or where it is in none but the encoder's own forward pass what it is for.

    q_proj -> q_proj, noted by the walk -> cls_attention -> ... -> stacked rows of all layers -> score -> select
    """
    features = _makers(graph.outputs[0])
    layer, stacked = "", False
    for node in graph:
        *scopes, operation = re.findall(r"'([^']*)'", node.metadata_props.get(_SCOPES, "''"))
        module = _own_name(scopes[-1] if scopes else "")
        if found := re.match(r"encoder\.layers\.\d+", module):
            layer = found[0]
            noted = module.endswith("_proj") and not operation.startswith("linear")  # as soon as it is made
            yield f"{layer}.cls_attention" if noted else module
        elif _is_select(node):
            yield "select"
        elif module and not module.startswith("_"):  # else no module, or a size
            yield module
        else:
            stacked = stacked or operation.startswith("stack")
            scoring = "score" if stacked else f"{layer}.cls_attention"
            yield _step(operation, node.op_type).format(layer) if node in features else scoring


def _step(operation: str, op_type: str) -> str:
    """Of a layer that is run in parts, which one an operation of the forward pass is for."""
    attention = "{}" if op_type == "Add" else "{}.self_attn"  # what is added there is the residual
    return next((step for name, step in STEPS.items() if operation.startswith(name)), attention)


def _makers(value: Any) -> set[Any]:
    """The nodes that `value` is made by, without those that only choose."""
    found, waiting = set(), [value.producer()]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found and not _is_select(node):
            found.add(node)
            waiting += [x.producer() for x in node.inputs if x is not None]
    return found


def _is_select(node: Any) -> bool:
    return "vtc.select" in node.metadata_props.get(_FX_NODE, "")


def _name_constants(graph: Any) -> None:
    """Weights by their place in the checkpoint, folded ones by the node that uses them, other constants by a number."""
    constants = 0
    for value in list(graph.initializers.values()):
        name = _own_name(value.name)
        if name.startswith("val_"):
            user = value.uses()[0].node
            if user.op_type == "MatMul" and len(value.shape) == 2:
                name = user.name.removesuffix("/MatMul").replace("/", ".") + ".weight.T"
            else:
                name, constants = f"constant_{constants}", constants + 1
        value.name = name


def _name_axes(graph: Any) -> None:
    """Torch's symbols are renamed; sizes that are fixed stay numbers, their meaning is the axis's denotation."""
    symbols = {str(graph.inputs[0].shape[0]): "batch", str(graph.outputs[0].shape[1]): "keep"}
    for value in (*graph.inputs, *(value for node in graph for value in node.outputs)):
        if value.shape is not None:
            value.shape = ir.Shape(
                [size if isinstance(size, int) else symbols.get(str(size)) for size in value.shape],
                AXES.get(value.name, "").split() or None,
            )
