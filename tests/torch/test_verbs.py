"""The torch verbs against the specification, and what only torch has: compile, autocast, gradients."""

import numpy as np
import pytest
import torch

import vtc_core
import vtc_torch

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INF, NAN = float("inf"), float("nan")


def rows(shape, dtype, seed=0):
    """Multiples of 1/64: sums of them are exact in any order, and many tie."""
    return (torch.randint(0, 24, shape, generator=torch.Generator().manual_seed(seed)) / 64).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("batch", [0, 1, 5])
def test_prune_equals_the_specification(dtype, reduce, batch):
    features, cls_attention = rows((batch, 49, 6), dtype, 1), rows((3, batch, 4, 49), dtype)
    for keep in (1, 7, 48, 49):
        pruned = vtc_torch.prune(features, cls_attention, keep, reduce)
        expected = vtc_core.prune(features.double().numpy(), cls_attention.double().numpy(), keep, reduce)
        np.testing.assert_array_equal(pruned.indices, expected.indices)
        np.testing.assert_array_equal(pruned.features.double(), expected.features)
        assert pruned.features.dtype == dtype
        assert pruned.scores.dtype == torch.promote_types(dtype, torch.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_s3_select_orders_every_value(dtype):
    scores = torch.tensor([[NAN, -INF, INF, -0.0, 0.0, 1.0, 1.0, NAN, INF, -1.0]], dtype=dtype)
    order = [2, 8, 5, 6, 3, 4, 9, 1, 0, 7]  # +inf, ones, zeros, -1, -inf, NaN; the lower index first among equals
    for keep in range(1, 11):
        assert vtc_torch.select(scores, keep).tolist() == [sorted(order[:keep])]


def test_s3_select_on_long_rows_full_of_ties():
    scores = rows((3, 5000), torch.float32)
    np.testing.assert_array_equal(vtc_torch.select(scores, 700), vtc_core.select(scores.numpy(), 700))


@pytest.mark.parametrize("dtype", DTYPES)
def test_s1_attend_equals_the_specification(dtype):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 8, generator=generator).to(dtype)
    keys = torch.randn(2, 4, 17, 8, generator=generator).to(dtype)
    row = vtc_torch.attend(query, keys, 8**-0.5)
    assert row.dtype == torch.promote_types(dtype, torch.float32)
    expected = vtc_core.attend(query.double().numpy(), keys.double().numpy(), 8**-0.5)
    np.testing.assert_allclose(row, expected, rtol=1e-5)


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


@pytest.mark.parametrize(("dtype", "kind"), [(torch.bfloat16, torch.int16), (torch.float16, torch.int16)])
def test_s5_gather_keeps_the_payload_of_nan(dtype, kind):
    bits = torch.tensor([[[0x7FC0], [0x7FC1], [-0x40], [-0x8000]]], dtype=kind)
    assert torch.equal(vtc_torch.gather(bits.view(dtype), torch.tensor([[0, 1, 2, 3]])).view(kind), bits)


def test_s5_gather_takes_any_integer_indices():
    features = torch.arange(8.0).reshape(1, 4, 2)
    assert vtc_torch.gather(features, torch.tensor([[1, 3]], dtype=torch.int32)).tolist() == [[[2, 3], [6, 7]]]


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
