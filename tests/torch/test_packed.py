"""A packed tower gives what it gave before, to rounding, pruned and whole."""

import copy

import pytest
import torch
from small_models import make_siglip, make_tower, pixels

from vtc_torch import PrunedEncoder, pack
from vtc_torch.packed import PackedLinear


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("make", "method"), [(make_tower, "vtc-cls"), (make_siglip, "received"), (make_tower, "divprune")]
)
def test_float32_is_the_same_to_rounding(make, method, batch):
    tower = make()
    packed = pack(copy.deepcopy(tower))
    assert not [name for name, module in packed.encoder.named_modules() if isinstance(module, torch.nn.Linear)]
    projector = torch.nn.Identity()
    with torch.inference_mode():
        expected = PrunedEncoder(tower, 7, method, projector=projector)(pixels(tower, batch))
        got = PrunedEncoder(packed, 7, method, projector=projector)(pixels(tower, batch))
        whole = [one(pixels(tower, batch)).last_hidden_state for one in (tower, packed)]
    assert torch.equal(got.indices, expected.indices)
    torch.testing.assert_close(got.features, expected.features, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(whole[1], whole[0], rtol=1e-4, atol=2e-5)


def test_bfloat16_linear_layers_are_bit_equal():
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(64, 96).bfloat16(), torch.randn(2, 37, 64).bfloat16()
    with torch.inference_mode():
        assert torch.equal(PackedLinear(layer)(x), layer(x))


def test_bfloat16_attention_is_eagers():
    """Of a tower that differs from eager attention in nothing else; the original keeps its own implementation."""
    tower = make_tower("eager").bfloat16()
    packed = pack(copy.deepcopy(tower))
    assert packed.config._attn_implementation == "vtc_products"
    assert tower.config._attn_implementation == "eager"
    exact = copy.deepcopy(tower).float()
    with torch.inference_mode():
        x = pixels(tower, 2).bfloat16()
        wanted = exact(x.float(), output_hidden_states=True).hidden_states[1]
        off = [(one(x, output_hidden_states=True).hidden_states[1] - wanted).abs().mean() for one in (tower, packed)]
    assert off[1] < 1.2 * off[0]


@pytest.mark.parametrize(
    "tower", [make_tower().half(), torch.nn.Module.to(make_tower(), "meta")], ids=["float16", "meta"]
)
def test_what_cannot_be_packed_is_refused(tower):
    with pytest.raises(ValueError, match="only a tower on the CPU, in float32 or bfloat16, can be packed, got "):
        pack(tower)
