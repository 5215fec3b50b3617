"""benchmarks/stages.py on small models, and benchmarks/quality_stages.py against the plain way."""

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

import vtc_llava
import vtc_tiny
from vtc_bench.costs import Geometry

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def imported(monkeypatch):
    """By its place: `stages` is a folder of tests, too."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def script(name):
        spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
        return module

    return script


def test_runs_are_of_shortened_prompts_and_floors_are_shares(imported):
    stages = imported("stages")
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=8, num_attention_heads=4, vocab_size=1000
    )
    geometry = Geometry(tokens=36, dim=32, mlp=64, depth=4, heads=4, patch=4)
    named = stages.runs(geometry, config)
    assert named.keys() == {"prefill", "first token"}
    for timed in named.values():
        assert list(timed) == [stages.ALL, *stages.stages(8)]
    logits = [run() for run in named["prefill"].values()]
    assert all((other - logits[0]).abs().max() > 0 for other in logits[1:])
    assert all(run().logits.shape == (1, 1, 1000) for run in named["first token"].values())
    whole = stages.work(config, [], 36)
    assert stages.work(config, stages.stages(8)["fastv"], 36) < 0.8 * whole


def test_shared_features_give_the_answers_of_pictures(imported):
    quality_stages = imported("quality_stages")
    model, processor = vtc_tiny.load()
    scenes = [vtc_tiny.scene(seed) for seed in range(3)]
    settings = {"keep": 36, "method": "centerclip", "stages": "feather:layers=1+2"}
    hits, left = quality_stages.right(model, processor, scenes, **settings)
    asked = [(scene.image, question) for scene in scenes for question in vtc_tiny.questions(scene)]
    expected, kept = 0, []
    with torch.inference_mode(), vtc_llava.patch(model, processor, **settings) as handle:
        for image, question in asked:
            text = quality_stages.prompt(processor, question.text)
            inputs = processor(images=[image], text=[text], return_tensors="pt")
            said = model.generate(**inputs)[:, inputs.input_ids.shape[1] :]
            expected += processor.batch_decode(said, skip_special_tokens=True) == [question.answer]
            kept.append(len(handle.stages_last[2][0]))
    assert (hits, left) == (expected, sum(kept) / len(kept))
    assert hits > len(asked) / 2
