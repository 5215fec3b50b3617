"""All ways of a method feed the same tokens."""

import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.usefixtures("toy")
def test_others_ways_feed_what_ours_feed(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    compared = 0
    with torch.no_grad():
        for ways in importlib.import_module("peers").runs("toy", 12, 2).values():
            made = [way() for way in ways.values()]
            features = [one if isinstance(one, torch.Tensor) else one.features for one in made]
            for other in features[1:]:
                torch.testing.assert_close(other, features[0], rtol=1e-4, atol=1e-5)
                compared += 1
    assert compared == 4
