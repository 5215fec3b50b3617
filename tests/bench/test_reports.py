"""Every report runs on a toy, holds its figures together, and its pictures can be opened."""

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtc_bench import costs, growth, prefill, report, torch_encoder
from vtc_bench.costs import Geometry
from vtc_bench.memory import peak
from vtc_core import Pruned
from vtc_core.methods import METHODS, VtcCls, method_of
from vtc_core.methods.method import reads_prompt

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_largest_difference_looks_at_the_kept_tokens():
    whole = np.arange(24.0).reshape(1, 6, 4)
    pruned = Pruned(whole[:, [1, 4]] + [[[0, 0, 0, 0], [0, 0.25, 0, 0]]], np.array([[1, 4]]), np.zeros((1, 6)))
    assert report.largest_difference(pruned, whole) == 0.25


@pytest.mark.parametrize("backend", ["torch", "packed"])
def test_the_encoder_report_compares_all_three(toy, backend):
    body, packages = report.encoder(backend, "toy", batch=2, keep=4, rounds=1)
    assert [f"| {name} |" in body for name in torch_encoder.NAMES] == [True, True, True]
    assert ("| pruned, packed |" in body) is (backend == "packed")
    difference = re.search(r"difference of a kept feature: (\S+)\.", body)
    assert difference
    assert float(difference[1]) < 1e-5
    assert packages == ("torch", "transformers")


@pytest.mark.parametrize("method", ["received", "visionzip", "holov"])
def test_the_encoder_report_takes_any_method_and_the_usual_way_is_of_vtc_cls(toy, method):
    body, _ = report.encoder("torch", "toy", batch=2, keep=4, method=method_of(method), rounds=1)
    assert f"method {method}, 1 interleaved rounds." in body
    assert torch_encoder.USUAL not in body
    assert ("difference of a kept feature" in body) is (method != "visionzip")  # which feeds mixtures


def test_methods_are_held_against_one_whole_encoder(toy):
    names = ["vtc-cls", "prumerge", "flowcut"]
    body, _ = report.methods("toy", [method_of(name) for name in names], batch=2, keep=4, rounds=1)
    rows = [line.strip("| ").split(" | ") for line in body.split("\n\n")[0].splitlines()[2:]]
    assert [row[0] for row in rows] == names
    for (name, *_, floor, _), expected in zip(rows, map(method_of, names), strict=True):
        assert float(floor) == pytest.approx(costs.pruned(toy, 4, expected) / costs.whole(toy), abs=5e-4), name
    assert "keep=4 of 36, 1 interleaved rounds." in body


def test_memory_of_the_usual_way_grows_with_the_maps():
    g = Geometry(tokens=400, dim=32, mlp=64, depth=6, heads=8, patch=4)
    maps = 6 * 4 * 8 * 401 * 401 * 4  # layers batch heads queries keys bytes: 123 MB
    pruned, usual = (peak(g, name, 4, 9, VtcCls()) for name in (torch_encoder.PRUNED, torch_encoder.USUAL))
    assert usual > maps
    assert pruned < maps / 4


def test_memory_says_why_it_failed():
    with pytest.raises(RuntimeError, match=r"keep must be an integer in \[1, 400\]"):
        peak(Geometry(400, 32, 64, 6, 8, 4), torch_encoder.PRUNED, 1, 500, VtcCls())


def test_the_prefill_report_has_a_row_for_each_kind_of_work(toy):
    body, _ = report.prefill("toy", "toy", keep=4, rounds=1)
    assert [f"| {work} |" in body for work in prefill.WORK] == [True, True, True]
    assert "tokens per second" in body


def test_prefill_feeds_what_a_method_mixes_or_sees_projected(toy):
    for method in ("visionzip", "holov"):
        runs = prefill.runs(toy, prefill.LANGUAGE_MODELS["toy"](), torch_encoder.pixels(toy, 1), 4, method_of(method))
        assert runs[f"{prefill.END_TO_END}, 4"]().past_key_values.get_seq_length() == 4 + prefill.TEXT


def test_decoding_leaves_the_cache_as_it_was(toy, monkeypatch):
    seen = []
    made = prefill.language_model

    def watched(*args):
        model = made(*args)
        forward = model.forward
        model.forward = lambda **kwargs: seen.append(out := forward(**kwargs)) or out
        return model

    monkeypatch.setattr(prefill, "language_model", watched)
    runs = prefill.runs(toy, prefill.LANGUAGE_MODELS["toy"](), torch_encoder.pixels(toy, 1), 4, VtcCls())
    runs[f"{prefill.DECODE}, 4"]()
    assert len(seen) == 2 + prefill.STEPS  # a prefill for each budget, then the tokens
    assert seen[-1].past_key_values.get_seq_length() == 4 + prefill.TEXT


def test_growth_draws_a_plot_for_every_axis(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "interleaved", lambda runs, rounds, title: {name: [1.0, 2.0] for name in runs})
    monkeypatch.setitem(prefill.LANGUAGE_MODELS, "0.5b", prefill.LANGUAGE_MODELS["toy"])
    body, _ = report.growth("toy", tmp_path / "plots")
    named = re.findall(r"\(plots/(\S+)\)", body)
    assert sorted(named) == sorted(p.name for p in (tmp_path / "plots").iterdir())
    assert len(named) == 5
    assert body.count("| measured / floor |") == 5
    for name in named:
        with Image.open(tmp_path / "plots" / name) as plot:
            assert plot.size == (600, 450)


def test_growth_holds_every_point_against_its_floor(toy, tmp_path, monkeypatch):
    """The pruned run at keep x takes x seconds, the unpruned one 100, whatever x: ratios are made at each x."""

    def timed(runs, rounds, title):
        return {name: [float(name.split()[-1]) if name.startswith("pruned") else 100.0] for name in runs}

    monkeypatch.setattr(growth, "interleaved", timed)
    sweeps = {sweep.axis: sweep for sweep in growth.sweeps(toy, prefill.LANGUAGE_MODELS["toy"]())}
    by_keep = growth.measure(sweeps["keep"])
    assert by_keep.x == (32, 36)
    assert [r.median for r in by_keep.ratios] == [0.32, 0.36]
    assert by_keep.floors == [costs.pruned(toy, x) / costs.whole(toy) for x in by_keep.x]
    prompts = growth.measure(sweeps["visual tokens in the prompt"])
    assert prompts.x == (36,)
    assert prompts.floors == [1.0]  # a line alone is held against its own end


def test_the_gpu_script_runs_on_a_toy(tmp_path, monkeypatch):
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--out", str(out)])
    runpy.run_path(str(BENCHMARKS / "gpu.py"), run_name="__main__")
    assert '"kept as in float64": 1.0' in out.read_text()
    assert json.loads(out.read_text())["all methods, torch.float32"]["ratios"].keys() == {
        name for name, kind in METHODS.items() if not reads_prompt(kind)
    }
