"""FlowCut in the torch encoder, against its formula step by step on a stock tower, one picture at a time."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import make_siglip, make_tower, pixels

from vtc_core.methods import FlowCut
from vtc_torch import PrunedEncoder

from .eager import FEATURE_TOLERANCE
from .flowcut import by_hand

TOWERS = [{"depth": 7}, {"depth": 8}, {"depth": 12, "dim": 16, "heads": 2, "grid": 8}]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("geometry", TOWERS, ids=lambda g: str(g["depth"]))
@pytest.mark.parametrize("keep", [1, 7, 35, 36])
def test_equals_its_formula_in_a_batch_as_alone(attention, geometry, keep):
    tower = make_tower(attention, **geometry)
    encoder = PrunedEncoder(tower, keep, "flowcut")
    with torch.inference_mode():
        together = encoder(pixels(tower, 4))
        counts = set()
        for row in range(4):
            indices, features, after, running = by_hand(tower, pixels(tower, 4)[row : row + 1], keep)
            counts.add(tuple(after))
            alone = encoder(pixels(tower, 4)[row : row + 1])
            for pruned, at in ((alone, 0), (together, row)):
                assert pruned.indices[at].tolist() == indices.tolist()
                torch.testing.assert_close(pruned.features[at], features, rtol=0, atol=FEATURE_TOLERANCE)
                if running is not None:
                    np.testing.assert_allclose(pruned.scores[at][indices], running, rtol=1e-4)
                assert (pruned.scores[at] >= 0).sum() == keep
    if keep == 7:
        assert len(counts) > 1  # else nothing would be masked


@pytest.mark.parametrize("feature_layer", [-1, -3, 1, 2, (-2, 2, 0), (1, 1)], ids=str)
def test_every_feature_layer(feature_layer):
    """Of several, each as it was when its layer was done, at the kept tokens."""
    tower = make_tower(depth=7)
    several = (feature_layer,) if isinstance(feature_layer, int) else feature_layer
    encoder = PrunedEncoder(tower, 7, "flowcut", feature_layer)
    latest = max(number % 8 for number in several)
    with torch.inference_mode():
        pruned = encoder(pixels(tower, 1))
        indices, features, _, _ = by_hand(tower, pixels(tower, 1), 7, latest)
    assert pruned.indices[0].tolist() == indices.tolist()
    dim = features.shape[1]
    for place, number in enumerate(several):
        part = pruned.features[0, :, place * dim : (place + 1) * dim]
        if number % 8 == latest:
            torch.testing.assert_close(part, features, rtol=0, atol=FEATURE_TOLERANCE)
        if number == 0:
            embeddings = tower.pre_layrnorm(tower.embeddings(pixels(tower, 1)))[0, 1:]
            torch.testing.assert_close(part, embeddings[indices], rtol=0, atol=FEATURE_TOLERANCE)


def test_layers_work_on_fewer_and_fewer_tokens_as_modules():
    tower = make_tower(depth=8)
    lengths = []
    for layer in tower.encoder.layers:
        layer.register_forward_hook(lambda module, inputs, output: lengths.append(output.shape[1]))
    with torch.inference_mode():
        PrunedEncoder(tower, 7, "flowcut")(pixels(tower, 1))
        *_, counts, _ = by_hand(make_tower(depth=8), pixels(tower, 1), 7)
    assert lengths == [37, *(1 + count for count in counts[:-1])]
    assert lengths[-1] == 8


def test_s7_a_row_of_nan_and_no_row_at_all():
    encoder = PrunedEncoder(make_tower(depth=7), 7, FlowCut())
    pixel_values = pixels(encoder.tower, 3)
    with torch.inference_mode():
        expected = encoder(pixel_values)
        poisoned = encoder(pixel_values.index_fill(0, torch.tensor([1]), torch.nan))
        assert encoder(pixel_values[:0]).features.shape == (0, 7, 32)
    for row in (0, 2):
        assert torch.equal(poisoned.indices[row], expected.indices[row])
        torch.testing.assert_close(poisoned.features[row], expected.features[row], rtol=0, atol=FEATURE_TOLERANCE)
    assert poisoned.indices[1].tolist() == [*range(7)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype):
    """Attention so sharp that most of its weights are 0 in 16 bits."""
    tower = make_tower(depth=7)
    with torch.no_grad():
        layers: Any = tower.encoder.layers
        for layer in layers:
            layer.self_attn.q_proj.weight.mul_(20)
    tower = tower.to(dtype)
    with torch.inference_mode():
        pruned = PrunedEncoder(tower, 7, "flowcut")(pixels(tower, 3).to(dtype))
    assert pruned.features.dtype == dtype
    assert pruned.scores.dtype == torch.promote_types(dtype, torch.float32)
    assert pruned.features.isfinite().all()
    assert pruned.scores.isfinite().all()


def test_cls_is_there_and_dropped_tokens_are_not():
    encoder = PrunedEncoder(make_tower(depth=7), 7, "flowcut")
    with torch.inference_mode():
        looked = encoder.look(pixels(encoder.tower))
        choice = looked.choose(7)
        dropped = looked.finish(looked.seen.flow.argmin(1, keepdim=True))
    assert looked.finish(torch.full((2, 1), -1)).isfinite().all()
    assert dropped.isnan().all()
    assert torch.equal(choice.indices, looked.seen.flow.sort(descending=True).indices[:, :7].sort().values)


def test_gradients_flow_through_the_kept_tokens():
    encoder = PrunedEncoder(make_tower(depth=5), 7, "flowcut")
    pixel_values = pixels(encoder.tower, 2).requires_grad_()
    encoder(pixel_values).features.square().sum().backward()
    assert pixel_values.grad is not None
    assert pixel_values.grad.isfinite().all()
    assert pixel_values.grad.abs().max() > 0


def test_is_refused_without_cls():
    with pytest.raises(ValueError, match="SiglipVisionModel has no CLS token, and method 'flowcut' looks at it"):
        PrunedEncoder(make_siglip(), 7, "flowcut")


def test_an_attention_implementation_without_masks_takes_one_picture_at_a_time():
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register("maskless", sdpa_attention_forward)
    try:
        tower = make_tower(depth=8)
        tower.set_attn_implementation("maskless")
        encoder = PrunedEncoder(tower, 7, "flowcut")
        with torch.inference_mode():
            encoder(pixels(tower, 1))
            with pytest.raises(ValueError, match="attention implementation 'maskless' takes no mask"):
                encoder(pixels(tower, 4))
    finally:
        del AttentionInterface._global_mapping["maskless"]


SCRIPT = """
import torch, vtc_torch
from small_models import make_tower, pixels

torch.set_num_threads(1)
tower = make_tower(depth=5)
encoder = vtc_torch.PrunedEncoder(tower, 7, "flowcut")
with torch.inference_mode():
    plain = encoder(pixels(tower, 3))
    masked = torch.compile(encoder, fullgraph=True, backend="aot_eager")(pixels(tower, 3))
assert torch.equal(plain.indices, masked.indices)
torch.testing.assert_close(plain.features, masked.features, rtol=0, atol=2e-5)
torch.testing.assert_close(plain.scores, masked.scores)
print("same")
"""


def test_masked_in_one_compiled_graph_it_is_the_same():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["same"]
