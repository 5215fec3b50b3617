"""A geometry small enough to time in a test, found under its own name."""

import pytest
from transformers import LlamaConfig

from vtc_bench import costs
from vtc_bench.costs import Geometry

TOY = Geometry(tokens=36, dim=32, mlp=64, depth=5, heads=4, patch=4)


def toy_language() -> LlamaConfig:
    return LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=50,
    )


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(costs.GEOMETRIES, "toy", TOY)
    from vtc_bench import prefill

    monkeypatch.setitem(prefill.LANGUAGE_MODELS, "toy", toy_language)
    return TOY
