"""The encoder oracle against transformers, and that the suite's inputs leave nothing undecided."""

import numpy as np
import pytest
import torch
from transformers import CLIPVisionModel

import vtc_core
from vtc_conformance import checkpoints, inputs, oracle
from vtc_conformance.tolerances import TOLERANCES


@pytest.mark.parametrize("geometry", ["square", "odd"])
def test_the_oracle_is_clip(geometry):
    folder, pixels = checkpoints.make(geometry, "float64"), checkpoints.pixels(0, geometry, 2, "float64")
    encoded = oracle._encode(folder, pixels)
    for implementation, tolerance in (("sdpa", 1e-12), ("eager", 1e-5)):  # eager takes its softmax in float32
        model = CLIPVisionModel.from_pretrained(folder, attn_implementation=implementation)
        with torch.no_grad():
            out = model(torch.tensor(pixels), output_hidden_states=True, output_attentions=implementation == "eager")
        for ours, theirs in zip(encoded.hidden_states, out.hidden_states, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=tolerance)
    for ours, theirs in zip(encoded.cls_attention, out.attentions, strict=True):
        np.testing.assert_allclose(ours, theirs[:, :, 0, 1:].numpy(), rtol=1e-4)


@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("keep", [1, 64, 192, 575])
def test_scores_at_the_cut_are_further_apart_than_the_tolerance(dtype, reduce, keep):
    """Of `test_prune.py::test_s3_random_attention_keeps_what_float64_keeps`: a wrong token has nowhere to hide."""
    scores = vtc_core.score(inputs.softmax_rows(1, (3, 2, 12, 576), dtype).astype(np.float64), reduce)
    highest = np.sort(scores)[:, ::-1]
    gap = (highest[:, keep - 1] - highest[:, keep]) / highest[:, keep - 1]
    assert (gap > TOLERANCES[dtype].score).all()
