"""The usual, expensive way, as an oracle: the specification on the maps and hidden states of transformers itself."""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from small_models import pixels
from transformers import InternVLVisionModel, SiglipVisionModel

import vtc_core
from vtc_core.methods import VtcCls
from vtc_torch import PrunedEncoder

FEATURE_TOLERANCE = 2e-5  # float32, the bound; 2.4e-7 was measured


class Eager(NamedTuple):
    """Of every layer and hidden state, those that nobody needs included; `first` is the patch that comes first."""

    maps: list[np.ndarray]  # batch heads asking answering
    states: list[torch.Tensor]  # batch length dim
    first: int

    def features(self, feature_layer: Any) -> torch.Tensor:
        several = [feature_layer] if isinstance(feature_layer, int) else feature_layer
        return torch.cat([self.states[number] for number in several], -1)


def eager_of(tower, pixel_values) -> Eager:
    eager = copy.deepcopy(tower)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        out = eager(pixel_values, output_attentions=True, output_hidden_states=True)
    first = int(not isinstance(tower, SiglipVisionModel))
    states = list(out.hidden_states)
    if isinstance(tower, InternVLVisionModel):
        states[-1] = out.last_hidden_state  # which is what its projector is given
    return Eager([x.numpy() for x in out.attentions], states, first)


def oracle(tower, pixel_values, keep, method, feature_layer: Any = -2):
    """`method` is VTC-CLS, or `Received`: the mean over all queries, that of CLS included."""
    eager = eager_of(tower, pixel_values)
    several = [feature_layer] if isinstance(feature_layer, int) else feature_layer
    maps, depth, first = eager.maps, len(eager.maps), eager.first
    numbers = vtc_core.resolve_layers(method.layers, depth, max(number % (depth + 1) for number in several))
    of_cls = isinstance(method, VtcCls)
    rows = [maps[number][:, :, 0, 1:] if of_cls else maps[number][:, :, :, first:].mean(2) for number in numbers]
    return vtc_core.prune(eager.features(feature_layer)[:, first:].numpy(), np.stack(rows), keep, method.reduce)


def check(encoder: PrunedEncoder, pixel_values, feature_layer: Any = -2):
    """The encoder keeps what the oracle keeps, with the unpruned features."""
    expected = oracle(encoder.tower, pixel_values, encoder.keep, encoder.method, feature_layer)
    with torch.inference_mode():
        pruned = encoder(pixel_values)
    torch.testing.assert_close(pruned.indices, torch.from_numpy(expected.indices), rtol=0, atol=0)
    torch.testing.assert_close(pruned.features, torch.from_numpy(expected.features), rtol=0, atol=FEATURE_TOLERANCE)
    torch.testing.assert_close(pruned.scores, torch.from_numpy(expected.scores), rtol=1e-5, atol=1e-6)


def check_rows(encoder: PrunedEncoder):
    """Five pictures, each as it is alone; and none at all."""
    pixel_values = pixels(encoder.tower, 5)
    with torch.inference_mode():
        whole = encoder(pixel_values)
        for row in range(5):
            alone = encoder(pixel_values[row : row + 1])
            assert torch.equal(alone.indices[0], whole.indices[row])
            torch.testing.assert_close(alone.features[0], whole.features[row], rtol=0, atol=FEATURE_TOLERANCE)
        assert encoder(pixel_values[:0]).features.shape == (0, encoder.keep, 32)
