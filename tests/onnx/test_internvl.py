"""InternVL as ONNX files: its tower, its squares of patches, its projector."""

import numpy as np
import pytest
import torch
from small_internvl import internvl_config, sharpen_internvl
from small_models import pixels, text_config
from transformers import InternVLConfig, InternVLForConditionalGeneration

import vtc_onnx
import vtc_torch


@pytest.mark.parametrize(
    ("form", "method"),
    [({}, "vtc-cls"), ({"use_qk_norm": True, "norm_type": "rms_norm"}, "visionzip:contextual=2")],
)
def test_it_feeds_what_torch_feeds(form, method, tmp_path):
    torch.manual_seed(0)
    config = InternVLConfig(vision_config=internvl_config(**form), text_config=text_config(), image_token_id=4)
    model = InternVLForConditionalGeneration(config).eval()
    tower, projector = sharpen_internvl(model.model.vision_tower), model.model.multi_modal_projector
    report = vtc_onnx.export(model, tmp_path / "encoder.onnx", keep=4, method=method)
    assert report.tokens == 9
    encoder = vtc_onnx.PrunedEncoder(tmp_path / "encoder.onnx")
    for keep in (3, 4, 9):
        with torch.inference_mode():
            expected = vtc_torch.PrunedEncoder(tower, keep, method, -1, projector, shuffle=2)(pixels(tower))
        got = encoder(pixels(tower).numpy(), keep=keep)
        np.testing.assert_array_equal(got.indices, expected.indices)
        np.testing.assert_allclose(got.features, expected.features, rtol=0, atol=2e-5)
        np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-5, atol=1e-6)
