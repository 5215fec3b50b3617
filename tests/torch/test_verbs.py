"""What only the torch verbs have: autocast, gradients, modules. The rest is held in test_conformance.py."""

import pytest
import torch

import vtc_torch


def rows(shape, dtype, seed=0):
    """Multiples of 1/64: sums of them are exact in any order, and many tie."""
    return (torch.randint(0, 24, shape, generator=torch.Generator().manual_seed(seed)) / 64).to(dtype)


def test_s1_attend_is_not_autocast():
    query, keys = torch.randn(2, 4, 8), torch.randn(2, 4, 17, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(vtc_torch.attend(query, keys, 0.5), vtc_torch.attend(query, keys, 0.5).float())
        inside = vtc_torch.attend(query, keys, 0.5)
    assert torch.equal(inside, vtc_torch.attend(query, keys, 0.5))


def test_s5_gather_passes_gradients_to_kept_tokens_only():
    features = torch.randn(1, 4, 2, requires_grad=True)
    vtc_torch.gather(features, torch.tensor([[1, 3]])).sum().backward()
    assert features.grad is not None
    assert features.grad.tolist() == [[[0, 0], [1, 1], [0, 0], [1, 1]]]


def test_pruner_is_prune_with_its_settings():
    features, cls_attention = rows((2, 20, 6), torch.float32, 1), rows((3, 2, 4, 20), torch.float32)
    pruner = vtc_torch.Pruner(5, "max")
    for a, b in zip(pruner(features, cls_attention), vtc_torch.prune(features, cls_attention, 5, "max"), strict=True):
        assert torch.equal(a, b)
    assert repr(pruner) == "Pruner(keep=5, reduce='max')"
    assert not pruner.state_dict()


@pytest.mark.parametrize(
    ("settings", "message"),
    [((0,), "keep must be an integer of at least 1, got 0"), ((3, "avg"), "reduce must be one of")],
)
def test_pruner_refuses_bad_settings_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        vtc_torch.Pruner(*settings)


def test_pruner_refuses_more_than_the_call_has():
    with pytest.raises(ValueError, match=r"keep must be an integer in \[1, 20\] .*, got 30"):
        vtc_torch.Pruner(30)(torch.zeros(2, 20, 6), torch.zeros(3, 2, 4, 20))
