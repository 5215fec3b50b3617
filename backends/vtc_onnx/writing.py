"""Graphs to files: metadata, weights beside the file when they are too large for it, int8."""

import os
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from onnxruntime.quantization import QuantType, quantize_dynamic

from . import graph
from .metadata import MEASURED, Metadata, to_properties

MOST = 2**31 - 2**24  # bytes of weights that go into a file: protobuf ends at 2 GB, and the graph needs some of them


def write(model: ir.Model, path: Path, about: Metadata) -> None:
    """Write `model`; when its weights are too large for one file, also `path` + ".data"."""
    model.ir_version = graph.IR_VERSION
    model.producer_name, model.producer_version = "vtc", about.vtc
    model.metadata_props.clear()
    known = {name: value for name, value in about._asdict().items() if name not in MEASURED}
    model.metadata_props.update(to_properties(known))
    _data(path).unlink(missing_ok=True)
    weights: Any = [value.const_value for value in model.graph.initializers.values()]
    size = sum(weight.nbytes for weight in weights)
    ir.save(model, path, external_data=_data(path).name if size > MOST else None)


def append(path: Path, **measured: float) -> None:
    """More metadata for a file that is written, and checked as it is: messages that follow each other are one."""
    properties = [onnx.StringStringEntryProto(key=k, value=v) for k, v in to_properties(measured).items()]
    with path.open("ab") as file:
        file.write(onnx.ModelProto(metadata_props=properties).SerializeToString())


def move(made: Path, path: Path) -> int:
    """Put what was written at `made` to `path`, in place of what is there; returns its bytes."""
    written = [(_data(made), _data(path))] if _data(made).exists() else []
    written.append((made, path))
    size = sum(source.stat().st_size for source, _ in written)
    for source, target in written:
        os.replace(source, target)
    if len(written) == 1:
        _data(path).unlink(missing_ok=True)  # of the file that was there before
    return size


def quantized(model: ir.Model, folder: Path) -> ir.Model:
    """The products with weights in 8-bit integers, the weights by output channel; files are made in `folder`."""
    whole, small = folder / "float32.onnx", folder / "int8.onnx"
    model.metadata_props["onnx.quant.pre_process"] = "onnxruntime.quant"  # nothing is left to prepare: no warning
    ir.save(model, whole, external_data="float32.data")
    quantize_dynamic(
        whole,
        small,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )
    model = ir.load(small)
    ir.external_data.load_to_model(model)
    return model


def _data(path: Path) -> Path:
    return path.with_name(f"{path.name}.data")
