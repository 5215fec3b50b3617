"""`received` against the whole map that it does not make: in NumPy, float64, straight from the definition."""

import math

import numpy as np
import pytest
import torch

from vtc_torch import received_attention

from .shapes import Shapes


def projections(tokens, cls=0, batch=2, heads=3, head_dim=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(tokens)
    query = 3 * torch.randn(batch, heads, tokens, head_dim, generator=generator)
    keys = torch.randn(batch, heads, cls + tokens, head_dim, generator=generator)
    return query.to(dtype), keys.to(dtype), head_dim**-0.5


def whole_map(query, keys, scale):
    logits = scale * np.einsum("bhqd,bhkd->bhqk", query.double().numpy(), keys.double().numpy())
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("cls", [0, 1])
@pytest.mark.parametrize("tokens", [1, 2, 63, 64, 65, 200])
def test_equals_the_mean_over_the_columns_of_the_map(tokens, cls, dtype):
    query, keys, scale = projections(tokens, cls, dtype=dtype)
    got = received_attention(query, keys, scale)
    assert got.dtype == torch.promote_types(dtype, torch.float32)
    np.testing.assert_allclose(got, whole_map(query, keys, scale)[..., cls:].mean(2), rtol=1e-5)


def test_a_case_by_hand():
    """Two patches and CLS, one head of size 1: patch 0 asks all alike, patch 1 weighs its keys 1 : 2 : 5."""
    query = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1)
    keys = torch.tensor([1.0, 2.0, 5.0]).log().reshape(1, 1, 3, 1)
    torch.testing.assert_close(
        received_attention(query, keys, 1.0).flatten(), torch.tensor([1 / 3 + 2 / 8, 1 / 3 + 5 / 8]) / 2
    )
    torch.testing.assert_close(  # scale 2: 1 : 4 : 25
        received_attention(query, keys, 2.0).flatten(), torch.tensor([1 / 3 + 4 / 30, 1 / 3 + 25 / 30]) / 2
    )


@pytest.mark.parametrize("block", [1, 2, 7, 64, 99, 100, 101, 10**6])
def test_does_not_depend_on_the_block_but_for_rounding(block):
    query, keys, scale = projections(100, cls=1)
    torch.testing.assert_close(
        received_attention(query, keys, scale, block), received_attention(query, keys, scale), rtol=1e-6, atol=1e-8
    )


def test_s7_rows_are_independent_and_an_empty_batch_works():
    query, keys, scale = projections(70, batch=5)
    whole = received_attention(query, keys, scale)
    for row in range(5):
        alone = received_attention(query[row : row + 1], keys[row : row + 1], scale)
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-6, atol=1e-8)
    assert received_attention(query[:0], keys[:0], scale).shape == (0, 3, 70)


def test_s9_same_bits_twice():
    assert torch.equal(received_attention(*projections(200)), received_attention(*projections(200)))


def test_is_not_autocast():
    arguments = projections(70)
    outside = received_attention(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(received_attention(*arguments), outside)


def test_large_logits_do_not_overflow():
    query, keys, _ = projections(70)
    np.testing.assert_allclose(
        received_attention(query, keys, 100.0), whole_map(query, keys, 100.0).mean(2), rtol=1e-4, atol=1e-7
    )


def test_keeps_nothing_for_a_gradient():
    query, keys, scale = projections(70)
    assert not received_attention(query.requires_grad_(), keys.requires_grad_(), scale).requires_grad


def test_the_largest_tensor_grows_with_tokens_and_not_with_their_square():
    largest = {}
    for tokens in (256, 512, 1024, 4096):
        with Shapes() as shapes:
            received_attention(*projections(tokens, batch=1, heads=1))
        largest[tokens] = max(map(math.prod, shapes.seen))
    assert largest == {tokens: 64 * tokens for tokens in largest}  # 64 queries, all keys


@pytest.mark.parametrize(
    ("query", "keys", "block", "kind", "message"),
    [
        ((2, 3, 8), (2, 3, 5, 8), 64, ValueError, r"query must have shape \(batch, heads, tokens, head_dim\), got"),
        ((2, 3, 5, 8), (2, 3, 8), 64, ValueError, r"keys must have shape \(batch, heads, length, head_dim\), got"),
        ((2, 3, 5, 8), (1, 3, 5, 8), 64, ValueError, "query and keys disagree on batch: 2 and 1"),
        ((2, 3, 5, 8), (2, 1, 5, 8), 64, ValueError, "query and keys disagree on heads: 3 and 1"),
        ((2, 3, 5, 8), (2, 3, 5, 4), 64, ValueError, "query and keys disagree on head_dim: 8 and 4"),
        ((2, 3, 5, 8), (2, 3, 4, 8), 64, ValueError, "keys must hold those of all patch tokens, got 4 for 5 patch"),
        ((2, 3, 0, 8), (2, 3, 0, 8), 64, ValueError, "keys must hold those of all patch tokens, got 0 for 0 patch"),
        ((2, 3, 5, 8), (2, 3, 5, 8), 0, ValueError, "block must be an integer of at least 1, got 0"),
        ((2, 3, 5, 8), (2, 3, 5, 8), 2.5, TypeError, "block must be an integer of at least 1, got 2.5"),
    ],
)
def test_refusals(query, keys, block, kind, message):
    with pytest.raises(kind, match=message):
        received_attention(torch.zeros(query), torch.zeros(keys), 1.0, block)
