"""Exported files against transformers' own eager attention maps; what is in them: test_graph.py."""

import numpy as np
import onnx
import pytest
import torch
from small_models import clip_config, make_llava, make_tower, pixels

import vtc_core
import vtc_onnx
from vtc_core.methods import VtcCls, method_of
from vtc_onnx import writing
from vtc_torch import PrunedEncoder as TorchEncoder

from ..torch.eager import oracle
from .test_graph import axes

LARGEST_DIFFERENCE = 2e-5  # float32; 1e-6 was measured


def check(file, tower, batch, keep, method=VtcCls()):  # noqa: B008
    pixel_values = pixels(tower, batch)
    got, expected = file(pixel_values.numpy(), keep), oracle(tower, pixel_values, keep, method)
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_allclose(got.features, expected.features, rtol=0, atol=LARGEST_DIFFERENCE)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def file(exported):
    return vtc_onnx.PrunedEncoder(exported[1])


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("keep", [1, 7, 20, 36])
def test_s8_one_file_serves_every_batch_and_budget(file, tower, batch, keep):
    check(file, tower, batch, keep)


def test_s7_a_large_batch_goes_in_parts_and_is_its_rows(file, tower):
    x = pixels(tower, 19).numpy()
    made = file(x, 5)
    for start in range(0, 19, 8):
        for whole, part in zip(made, file(x[start : start + 8], 5), strict=True):
            np.testing.assert_array_equal(whole[start : start + 8], part)


def test_s7_an_empty_batch_works(file):
    assert [x.shape for x in file(np.zeros((0, 3, 24, 24), np.float32), 3)] == [(0, 3, 32), (0, 3), (0, 36)]


def test_s9_same_bits_twice(file, tower):
    first, second = (file(pixels(tower).numpy()) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("method", "activation"),
    [(VtcCls((0, 2), "max"), "gelu"), (VtcCls(1, "mean"), "quick_gelu")],
)
def test_s6_settings_and_activations(tmp_path, method, activation):
    tower = make_tower("eager", activation=activation, depth=4, dim=24, heads=3, grid=5)
    vtc_onnx.export(tower, tmp_path / "e.onnx", 6, method)
    check(vtc_onnx.PrunedEncoder(tmp_path / "e.onnx"), tower, 2, 6, method)


def test_the_report_tells_what_was_written(exported):
    report, path, steps = exported
    assert (report.path, report.bytes, report.tokens) == (path, path.stat().st_size, 36)
    assert 0 <= report.difference <= LARGEST_DIFFERENCE
    assert report.overlap == 1
    assert report.cosine == pytest.approx(1, abs=1e-6)
    assert steps == ["reading the model", "tracing", "writing", "comparing with torch"]


def test_a_live_tower_is_not_changed(exported, tower):
    assert tower.config._attn_implementation == "sdpa"
    assert not [name for name in vars(tower) if "vtc" in name]


# --- sources ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llava():
    return make_llava(vision_config=clip_config(depth=2))


def check_llava(path, llava):
    """`image_features` are what the language model eats: the stock model's own, at the kept indices."""
    pixel_values = pixels(llava.model.vision_tower, 2)
    features, indices, _ = vtc_onnx.PrunedEncoder(path)(pixel_values.numpy())
    with torch.no_grad():
        whole = np.stack([x.numpy() for x in llava.model.get_image_features(pixel_values).pooler_output])
    np.testing.assert_array_equal(indices, oracle(llava.model.vision_tower, pixel_values, 7, VtcCls(1)).indices)
    np.testing.assert_allclose(features, vtc_core.gather(whole, indices), rtol=0, atol=LARGEST_DIFFERENCE)


def test_a_live_llava_brings_its_projector(llava, tmp_path):
    vtc_onnx.export(llava, tmp_path / "e.onnx", 7, VtcCls(1))
    check_llava(tmp_path / "e.onnx", llava)
    names = {node.name for node in onnx.load(tmp_path / "e.onnx").graph.node}
    assert "multi_modal_projector/linear_2/MatMul" in names


def test_a_llava_checkpoint_brings_its_projector(llava, tmp_path):
    llava.save_pretrained(tmp_path / "small-llava")
    vtc_onnx.export(str(tmp_path / "small-llava"), tmp_path / "e.onnx", 7, VtcCls(1))
    check_llava(tmp_path / "e.onnx", llava)
    assert vtc_onnx.PrunedEncoder(tmp_path / "e.onnx").metadata.checkpoint == "small-llava"


# --- options, on a smaller tower --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    return make_tower(depth=2, dim=32, heads=2, grid=4)


def check_small(path, small, batch=2):
    check(vtc_onnx.PrunedEncoder(path), small, batch, 7, VtcCls(1))


def products(path):
    """Those with weights, and all others, by operator."""
    nodes = [node for node in onnx.load(path).graph.node if node.op_type.startswith("MatMul")]
    weighted = {node.name for node in nodes if "weight" in node.input[1]}
    return [[x.op_type for x in nodes if (x.name in weighted) == having] for having in (True, False)]


def test_the_settings_of_a_pruned_encoder_hold(small, tmp_path):
    vtc_onnx.export(TorchEncoder(small, 7, VtcCls((0,), "min")), tmp_path / "e.onnx")
    metadata = vtc_onnx.PrunedEncoder(tmp_path / "e.onnx").metadata
    assert (metadata.keep, metadata.layers, method_of(metadata.method)) == (7, [0], VtcCls((0,), "min"))
    check_small(tmp_path / "e.onnx", small)


def test_static_keep_is_a_constant(small, tmp_path):
    vtc_onnx.export(small, tmp_path / "e.onnx", 7, VtcCls(1), static_keep=True)
    model = onnx.load(tmp_path / "e.onnx")
    assert [x.name for x in model.graph.input] == ["pixel_values"]
    assert axes(model.graph.output[0]) == ["batch", 7, 32]
    for batch in (1, 5):
        check_small(tmp_path / "e.onnx", small, batch)
    file = vtc_onnx.PrunedEncoder(tmp_path / "e.onnx")
    assert file(np.zeros((0, 3, 16, 16), np.float32)).features.shape == (0, 7, 32)
    with pytest.raises(ValueError, match=r"keep is a constant of .*e\.onnx \(static_keep\): 7, got 8"):
        file(pixels(small).numpy(), 8)


def test_float16_computes_in_16_bits_and_scores_in_32(small, tmp_path):
    report = vtc_onnx.export(small, tmp_path / "e.onnx", 7, VtcCls(1), dtype="float16")
    model = onnx.load(tmp_path / "e.onnx")
    weights = {x.data_type for x in model.graph.initializer if "weight" in x.name}
    assert weights == {onnx.TensorProto.FLOAT16}
    assert {x.name: x.type.tensor_type.elem_type for x in model.graph.output} == {
        "image_features": onnx.TensorProto.FLOAT,
        "indices": onnx.TensorProto.INT64,
        "scores": onnx.TensorProto.FLOAT,
    }
    pixel_values = pixels(small)
    got = vtc_onnx.PrunedEncoder(tmp_path / "e.onnx")(pixel_values.numpy())
    expected = oracle(small, pixel_values, 7, VtcCls(1))
    assert np.abs(got.scores - expected.scores).max() < 0.02 * expected.scores.max()
    assert 1e-4 < report.difference < 0.05
    assert report.overlap > 0.8
    assert 0.999 < report.cosine < 1


def test_int8_is_measured_and_the_figures_are_in_the_file(small, tmp_path):
    whole = vtc_onnx.export(small, tmp_path / "float32.onnx", 7, VtcCls(1))
    report = vtc_onnx.export(small, tmp_path / "e.onnx", 7, VtcCls(1), quantize="int8")
    weighted, others = products(tmp_path / "float32.onnx")
    assert weighted == ["MatMul"] * 7  # k, v, q of CLS and of the kept, out, two of the MLP: of the one useful layer
    assert products(tmp_path / "e.onnx") == [["MatMulInteger"] * len(weighted), others]
    assert onnx.load(tmp_path / "e.onnx").ir_version == 10
    metadata = vtc_onnx.PrunedEncoder(tmp_path / "e.onnx").metadata
    assert (metadata.quantize, metadata.overlap, metadata.cosine) == ("int8", report.overlap, report.cosine)
    assert 0.5 < report.overlap <= 1
    assert 0.99 < report.cosine < 1
    assert report.bytes < whole.bytes


def test_large_weights_go_beside_the_file(small, tmp_path, monkeypatch):
    path, data = tmp_path / "e.onnx", tmp_path / "e.onnx.data"
    with monkeypatch.context() as patched:
        patched.setattr(writing, "MOST", 10_000)
        report = vtc_onnx.export(small, path, 7, VtcCls(1))
    assert sorted(tmp_path.iterdir()) == [path, data]
    assert report.bytes == path.stat().st_size + data.stat().st_size
    assert data.stat().st_size > 10_000
    check_small(path, small)
    with monkeypatch.context() as patched:  # float32 is too large for a file, int8 is not: nothing is left beside it
        patched.setattr(writing, "MOST", data.stat().st_size * 3 // 4)
        vtc_onnx.export(small, path, 7, VtcCls(1), quantize="int8", overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
