"""Every field of `Seen` against transformers' own eager attention maps and hidden states, and float64 made of those."""

from typing import Any

import numpy as np
import pytest
import torch
from small_models import make_siglip, make_tower, pixels
from torch import nn

from vtc_core.methods import Seen
from vtc_torch import PrunedEncoder
from vtc_torch.signals import SIGNALS

from .eager import FEATURE_TOLERANCE, eager_of
from .seeing import FIELDS, Sees
from .signals import expected_signal, projections

TOWERS = {"clip": make_tower, "siglip": make_siglip}
OF_CLS = ("cls_attention", "cls_logits", "joint_attention", "cls_feature")
LAYERS = [
    (3,),
    (0, 2),
    (1, 2, 3),
    (4,),
    (2, 4),
    (0, 1),
]  # layer 3 makes the features, hidden state -2


@pytest.mark.parametrize("layers", LAYERS, ids=str)
@pytest.mark.parametrize("threshold", [1.1, 100.0])
@pytest.mark.parametrize("make", TOWERS.values(), ids=TOWERS)
def test_signals(make, layers, threshold):
    tower = make(depth=5)
    eager = eager_of(tower, pixels(tower, 3))
    names = ("received_attention", "sink_attention")
    names += ("cls_attention", "cls_logits", "joint_attention") if make is make_tower else ()
    encoder = PrunedEncoder(tower, 7, Sees(names, layers, threshold))
    with torch.inference_mode():
        seen = encoder.look(pixels(tower, 3)).seen
    for name in names:
        expected = np.stack([expected_signal(name, tower, eager, number, threshold) for number in layers], -1)
        got = getattr(seen, name)
        assert got.dtype == torch.float32
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6, err_msg=name)


def test_sinks_are_some_of_the_tokens_above():
    """Else the comparison of sinks above would compare nothing but the one that receives most."""
    for make in TOWERS.values():
        tower = make(depth=5)
        maps, _, first = eager_of(tower, pixels(tower, 3))
        got = maps[3].mean(1)[:, first:, first:].mean(1)
        count = (got > 1.1 * got.mean(1, keepdims=True)).sum(1)
        assert ((count > 1) & (count < 18)).all()


@pytest.mark.parametrize("layers", LAYERS, ids=str)
@pytest.mark.parametrize("make", TOWERS.values(), ids=TOWERS)
def test_keys_are_those_of_the_latest_layer(make, layers):
    tower = make(depth=5)
    eager = eager_of(tower, pixels(tower))
    with torch.inference_mode():
        seen = PrunedEncoder(tower, 7, Sees(("keys",), layers)).look(pixels(tower)).seen
    expected = projections(tower, eager, max(layers))[1][:, :, eager.first :].swapaxes(1, 2)
    assert seen.keys is not None
    np.testing.assert_allclose(seen.keys, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("feature_layer", [-1, -2, 1, (-2, -3, 0), (1, -1)], ids=str)
@pytest.mark.parametrize("make", TOWERS.values(), ids=TOWERS)
def test_features(make, feature_layer):
    tower = make(depth=5)
    whole = eager_of(tower, pixels(tower)).features(feature_layer)
    first = int(make is make_tower)
    projector = nn.Linear(whole.shape[-1], 12)
    names = ("features", "projected", *(("cls_feature",) if first else ()))
    encoder = PrunedEncoder(tower, 7, Sees(names), feature_layer, projector)
    with torch.inference_mode():
        seen = encoder.look(pixels(tower)).seen
        close = {"rtol": 0, "atol": FEATURE_TOLERANCE}
        torch.testing.assert_close(seen.features, whole[:, first:], **close)
        torch.testing.assert_close(seen.projected, projector(whole[:, first:]), **close)
        if first:
            torch.testing.assert_close(seen.cls_feature, whole[:, :1].expand(-1, 36, -1), **close)


@pytest.mark.parametrize("make", TOWERS.values(), ids=TOWERS)
def test_places_and_tiles_are_always_there_and_nothing_that_is_not_asked_for(make):
    tower = make(grid=3)
    seen = PrunedEncoder(tower, 7, Sees()).look(pixels(tower)).seen
    places = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]]
    assert seen.places.tolist() == [places] * 2
    assert seen.tile.tolist() == [[0] * 9] * 2
    assert seen == Seen(seen.places, seen.tile)


@pytest.mark.parametrize("name", FIELDS)
def test_an_empty_batch_is_seen_too(name):
    encoder = PrunedEncoder(make_tower(), 7, Sees((name,), (1, 3)), projector=nn.Linear(32, 12))
    seen = encoder.look(pixels(encoder.tower)[:0]).seen
    full = encoder.look(pixels(encoder.tower)).seen
    assert getattr(seen, name).shape == (0, *getattr(full, name).shape[1:])


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("layers", [(1, 3), (1, 2), (2, 4)], ids=str)
def test_features_do_not_depend_on_what_is_seen(name, layers):
    tower = make_tower()
    with torch.inference_mode():
        pruned = PrunedEncoder(tower, 7, Sees((name,), layers), projector=nn.Identity())(pixels(tower))
        whole = tower(pixels(tower), output_hidden_states=True).hidden_states[-2][:, 1:8]
    torch.testing.assert_close(pruned.features, whole, rtol=0, atol=FEATURE_TOLERANCE)


@pytest.mark.parametrize("name", [name for name in FIELDS if "attention" in name or "logits" in name])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_signals_are_float32_at_least(name, dtype):
    """And of a float64 tower float64: of its first layer, since eager maps are of a softmax in float32."""
    tower = make_tower().to(dtype)
    with torch.inference_mode():
        got = getattr(PrunedEncoder(tower, 7, Sees((name,), (0, 2))).look(pixels(tower).to(dtype)).seen, name)
    assert got.dtype == torch.promote_types(dtype, torch.float32)
    if dtype == torch.float64 and name in ("cls_logits", "joint_attention"):  # which are not made of eager maps here
        expected = expected_signal(name, tower, eager_of(tower, pixels(tower).double()), 0, 5.0)
        np.testing.assert_allclose(got[..., 0], expected, rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in FIELDS if "attention" in name or "logits" in name])
def test_signals_are_not_autocast(name):
    """Of the same queries and keys: those are what autocast makes of them."""
    tower = make_tower(depth=2)
    attention: Any = tower.encoder.layers[0].self_attn
    encoder = PrunedEncoder(tower, 7, Sees((name,), (0,)))
    made = {}
    for letter in "qk":
        getattr(attention, f"{letter}_proj").register_forward_hook(
            lambda module, inputs, output, letter=letter: made.setdefault(letter, output)
        )
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        got = getattr(encoder.look(pixels(tower)).seen, name)[..., 0]
    query, keys = (x.unflatten(-1, (4, 8)).transpose(1, 2) for x in (made["q"], made["k"]))
    assert keys.dtype == torch.bfloat16
    expected = SIGNALS[name](Sees(), query, keys, attention.scale, 1)
    assert torch.equal(got, expected)


@pytest.mark.parametrize("name", OF_CLS)
def test_what_cls_is_part_of_is_refused_without_cls(name):
    with pytest.raises(ValueError, match="SiglipVisionModel has no CLS token, and method 'sees' looks at it"):
        PrunedEncoder(make_siglip(), 7, Sees((name,), (1,)))


def test_projected_tokens_need_a_projector():
    with pytest.raises(ValueError, match="method 'sees' looks at projected tokens: a projector is needed"):
        PrunedEncoder(make_tower(), 7, Sees(("projected",)))


@pytest.mark.parametrize("layers", [(5,), (-1,), (2, 1), (1, 1)], ids=str)
def test_layers_that_the_walk_does_not_pass_are_refused(layers):
    message = rf"method 'sees' must look at layers in \[0, 4\], ascending, got \({layers[0]}"
    with pytest.raises(ValueError, match=message):
        PrunedEncoder(make_tower(), 7, Sees(("keys",), layers))
