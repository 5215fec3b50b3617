"""The usual, expensive way, as an oracle: the specification on the maps and hidden states of transformers itself."""

import copy
from typing import Any

import numpy as np
import torch
from small_models import pixels

import vtc_core

FEATURE_TOLERANCE = 2e-5  # float32, the bound; 2.4e-7 was measured


def oracle(tower, pixel_values, keep, layers, reduce="sum", feature_layer: Any = -2, signal="cls"):
    eager = copy.deepcopy(tower)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        out = eager(pixel_values, output_attentions=True, output_hidden_states=True)
    several = [feature_layer] if isinstance(feature_layer, int) else feature_layer
    depth, first = len(out.attentions), int(hasattr(tower.embeddings, "class_embedding"))
    numbers = vtc_core.resolve_layers(layers, depth, max(number % (depth + 1) for number in several))
    maps = [out.attentions[number].numpy() for number in numbers]  # batch heads asking answering
    rows = [m[:, :, 0, 1:] if signal == "cls" else m[:, :, first:, first:].mean(2) for m in maps]
    features = torch.cat([out.hidden_states[number][:, first:] for number in several], -1)
    return vtc_core.prune(features.numpy(), np.stack(rows), keep, reduce)


def check(encoder, pixel_values, feature_layer: Any = -2):
    """The encoder keeps what the oracle keeps, with the unpruned features."""
    e = encoder
    expected = oracle(e.tower, pixel_values, e.keep, e.layers, e.reduce, feature_layer, e.signal)
    with torch.inference_mode():
        pruned = encoder(pixel_values)
    torch.testing.assert_close(pruned.indices, torch.from_numpy(expected.indices), rtol=0, atol=0)
    torch.testing.assert_close(pruned.features, torch.from_numpy(expected.features), rtol=0, atol=FEATURE_TOLERANCE)
    torch.testing.assert_close(pruned.scores, torch.from_numpy(expected.scores), rtol=1e-5, atol=1e-6)


def check_rows(encoder):
    """Five pictures, each as it is alone; and none at all."""
    pixel_values = pixels(encoder.tower, 5)
    with torch.inference_mode():
        whole = encoder(pixel_values)
        for row in range(5):
            alone = encoder(pixel_values[row : row + 1])
            assert torch.equal(alone.indices[0], whole.indices[row])
            torch.testing.assert_close(alone.features[0], whole.features[row], rtol=0, atol=FEATURE_TOLERANCE)
        assert encoder(pixel_values[:0]).features.shape == (0, encoder.keep, 32)
