"""What `vtc_onnx.PrunedEncoder` takes and refuses: files, pixels, budgets."""

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import pixels

import vtc_onnx

from .small import small


def test_arguments_that_do_not_fit_the_file(path):
    file = vtc_onnx.PrunedEncoder(path, threads=1)
    pixel_values = pixels(small()).numpy()
    message = r"keep must be an integer in \[1, 9\] \(the number of patch tokens\), got 600"
    with pytest.raises(ValueError, match=message):
        file(pixel_values, keep=600)
    with pytest.raises(ValueError, match=message):
        vtc_onnx.PrunedEncoder(path, keep=600)
    with pytest.raises(ValueError, match="pixel_values must be pictures of 12 x 12 pixels, got 13 x 12"):
        file(np.zeros((1, 3, 13, 12), np.float32))
    with pytest.raises(ValueError, match="pixel_values must have 3 channels, got 4"):
        file(np.zeros((1, 4, 12, 12), np.float32))
    with pytest.raises(ValueError, match=r"providers must be some of .*'CPUExecutionProvider'.*, got 'GPU'"):
        vtc_onnx.PrunedEncoder(path, providers=["GPU"])
    with pytest.raises(ValueError, match="threads must be an integer of at least 1, got 0"):
        vtc_onnx.PrunedEncoder(path, threads=0)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_pixels_that_are_no_floating_point_numbers_are_refused(path, dtype):
    message = f"pixel_values must be an array of floating-point numbers, got {dtype}"
    with pytest.raises(TypeError, match=message):
        vtc_onnx.PrunedEncoder(path)(np.zeros((1, 3, 12, 12), dtype))


def test_keep_of_the_file_of_the_object_and_of_the_call(path):
    pixel_values = pixels(small()).numpy()
    assert vtc_onnx.PrunedEncoder(path)(pixel_values).indices.shape == (2, 4)
    file = vtc_onnx.PrunedEncoder(path, keep=np.int32(2), providers=["CPUExecutionProvider"])
    assert file(pixel_values).indices.shape == (2, 2)
    assert file(pixel_values, keep=9).indices.tolist() == [list(range(9))] * 2
    assert repr(file) == f"PrunedEncoder({str(path)!r}, keep=2 of 9, method='vtc-cls:layers=1')"


def test_pixels_of_other_floats_are_taken(path):
    pixel_values = pixels(small()).numpy()
    file = vtc_onnx.PrunedEncoder(path)
    for got, expected in zip(file(pixel_values.astype(np.float64)), file(pixel_values), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_files_that_vtc_did_not_export_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*absent.onnx"):
        vtc_onnx.PrunedEncoder(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match=r"text.onnx is not an ONNX model"):
        vtc_onnx.PrunedEncoder(tmp_path / "text.onnx")
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch"])
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch"])
    plain = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "plain", [value], [result])
    model = helper.make_model(plain, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "plain.onnx")
    with pytest.raises(ValueError, match=r"plain\.onnx was not exported by vtc_onnx.export: it lacks the metadata vtc"):
        vtc_onnx.PrunedEncoder(tmp_path / "plain.onnx")
