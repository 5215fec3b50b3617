"""The fourth output of files of merging methods: of which patches each fed token is made."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from small_models import clip_config, make_llava, pixels

import vtc_onnx
from vtc_torch import PrunedEncoder

MERGING = ("visionzip", "vflowopt")  # features, and projected tokens, are mixed


@pytest.fixture(scope="module")
def llava():
    return make_llava(vision_config=clip_config(depth=3, dim=16, heads=2, grid=4))


@pytest.mark.parametrize("name", MERGING)
def test_the_weights_of_a_merge_are_torchs(name, llava, tmp_path):
    vtc_onnx.export(llava, tmp_path / "e.onnx", 5, name, weights=True)
    session = onnxruntime.InferenceSession(tmp_path / "e.onnx")
    weights = session.get_outputs()[3]
    assert (weights.name, weights.shape[:1], weights.shape[2]) == ("weights", ["batch"], 16)
    pixel_values = pixels(llava.model.vision_tower, 2)
    encoder = PrunedEncoder(llava.model.vision_tower, 5, name, projector=llava.model.multi_modal_projector)
    with torch.inference_mode():
        looked = encoder.look(pixel_values)
        for keep in (3, 7, 12):
            got: Any = session.run(["weights"], {"pixel_values": pixel_values.numpy(), "keep": np.array(keep)})[0]
            expected = looked.choose(keep).weights.numpy()
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    assert vtc_onnx.PrunedEncoder(tmp_path / "e.onnx")(pixel_values.numpy(), 3).features.shape[1] == 3


def test_others_have_none(llava, tmp_path):
    vtc_onnx.export(llava, tmp_path / "e.onnx", 5, "fastervlm", weights=True)
    assert len(onnxruntime.InferenceSession(tmp_path / "e.onnx").get_outputs()) == 3
