"""Loyalty and divergence of two tokens, by hand."""

from math import log

import pytest
import torch

from vtc_tune.likelihood import divergence, likelihood


def test_loyalty_is_the_mean_log_probability_of_a_token():
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).log()
    found = likelihood(logits, torch.tensor([0, 1]))
    assert found.loyalty == pytest.approx((log(0.5) + log(0.1)) / 2)
    assert found.greedy.tolist() == [0, 2]
    assert found.first.exp().tolist() == pytest.approx([0.5, 0.25, 0.25])


def test_divergence_is_of_the_second_from_the_first():
    first, other = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    assert divergence(first, other) == pytest.approx(0.5 * log(0.5 / 0.9) + 0.5 * log(0.5 / 0.1))
    assert divergence(first, first) == 0
