"""What is in an exported file: names, axes, versions, work, metadata."""

import json
import re

import onnx
import pytest


def axes(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_inputs_and_outputs(model):
    assert {x.name: axes(x) for x in model.graph.input} == {"pixel_values": ["batch", 3, 24, 24], "keep": []}
    assert {x.name: axes(x) for x in model.graph.output} == {
        "image_features": ["batch", "keep", 32],
        "indices": ["batch", "keep"],
        "scores": ["batch", 36],
    }
    denotations = {x.name: [d.denotation for d in x.type.tensor_type.shape.dim] for x in model.graph.output}
    assert denotations["image_features"] == ["batch", "keep", "dim"]
    assert denotations["scores"] == ["batch", "tokens"]


def test_versions_that_old_runners_read(model):
    assert model.ir_version == 10  # onnxruntime 1.20
    assert [(x.domain, x.version) for x in model.opset_import] == [("", 20)]
    assert not model.functions


def test_what_nobody_needs_is_not_there(model):
    used = {name for node in model.graph.node for name in node.input}
    stored = {x.name for x in model.graph.initializer}
    assert stored <= used
    assert not [name for name in stored if "layers.4" in name or "post_layernorm" in name]  # of 5, 0 to 4
    assert "encoder.layers.3.mlp.fc2.weight.T" in stored
    assert not [node.name for node in model.graph.node if node.op_type == "Transpose" and node.input[0] in stored]


def test_nodes_are_named_after_the_modules(model):
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert not [name for name in names if re.search(r"node_|val_|tower|sym_size|unsqueeze_", name)]
    for name in (
        "embeddings/patch_embedding/Conv",
        "encoder/layers.0/self_attn/q_proj/MatMul",
        "encoder/layers.1/cls_attention/Softmax",
        "encoder/layers.3/mlp/fc1/MatMul",
        "score/ReduceSum",
        "select/TopK",
        "gather/GatherND",
    ):
        assert name in names, name


def test_no_path_of_this_machine_is_in_the_file(exported):
    assert b".py" not in exported[1].read_bytes()


def test_the_work_is_that_of_the_cost_model(model):
    """Design, section 4: whole maps in the layers before the last useful one only, CLS rows in K, then kept tokens."""
    shapes = {
        x.name: axes(x) for x in [*onnx.shape_inference.infer_shapes(model).graph.value_info, *model.graph.output]
    }
    softmax = {node.name: shapes[node.output[0]] for node in model.graph.node if node.op_type == "Softmax"}
    whole = ["batch", 4, 37, 37]
    rows = {f"encoder/layers.{n}/cls_attention/Softmax": ["batch", 4, 37] for n in (1, 2, 3)}
    maps = {f"encoder/layers.{n}/self_attn/Softmax": whole for n in (0, 1, 2)}
    assert softmax == rows | maps | {"encoder/layers.3/self_attn/Softmax": ["batch", 4, "keep", 37]}
    products = {node.name: shapes[node.output[0]] for node in model.graph.node if node.op_type == "MatMul"}
    last = {name: shape for name, shape in products.items() if re.search(r"layers.3/.*(mlp|out_proj)", name)}
    assert set(map(tuple, last.values())) == {("batch", "keep", 64), ("batch", "keep", 32)}


def test_metadata(model):
    stored = {x.key: json.loads(x.value) for x in model.metadata_props}
    assert stored.pop("vtc.cosine") == pytest.approx(1, abs=1e-6)
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", stored.pop("vtc.vtc"))
    assert stored == {
        "vtc.method": {"name": "vtc-cls", "layers": 3, "reduce": "sum"},
        "vtc.checkpoint": "CLIPVisionModel",
        "vtc.layers": [1, 2, 3],
        "vtc.feature_layer": [4],
        "vtc.tokens": 36,
        "vtc.keep": 7,
        "vtc.static_keep": False,
        "vtc.image_size": 24,
        "vtc.channels": 3,
        "vtc.dtype": "float32",
        "vtc.quantize": None,
        "vtc.overlap": 1.0,
    }
