"""The runner for VLMEvalKit, with a stand-in of the three things that it takes from there."""

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest

import vtc_llava
import vtc_tiny
from vtc_llava.answering import prompt


@pytest.fixture
def kit(monkeypatch):
    """The stand-in: models by name, and a run.py that remembers what it was called with."""
    config, run, base = (ModuleType(f"vlmeval.{name}") for name in ("config", "run", "vlm.base"))
    kept: Any = {"argv": None, "supported_VLM": {}}
    config.__dict__["supported_VLM"] = kept["supported_VLM"]
    run.__dict__["main"] = lambda: kept.update(argv=sys.argv[1:])
    base.__dict__["BaseModel"] = type("BaseModel", (), {})
    for module in (ModuleType("vlmeval"), ModuleType("vlmeval.vlm"), config, run, base):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return kept


@pytest.fixture
def main(kit, monkeypatch):
    monkeypatch.syspath_prepend(vtc_tiny.PATH.parents[2] / "benchmarks")
    monkeypatch.delitem(sys.modules, "vlm_eval_kit", raising=False)
    script = importlib.import_module("vlm_eval_kit")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["vlm_eval_kit.py", str(vtc_tiny.PATH), *arguments])
        script.main()

    return run


def test_the_model_is_there_before_run_starts_and_its_name_says_the_settings(main, kit):
    main("--keep", "16", "--method", "visionzip:contextual=2", "--data", "POPE", "--mode", "infer")
    name = "vtc,checkpoint,keep=16,visionzip,contextual=2"
    assert kit["argv"] == ["--model", name, "--data", "POPE", "--mode", "infer"]
    assert [*kit["supported_VLM"]] == [name]


def test_it_answers_as_the_patched_model(main, kit, tmp_path):
    main("--keep", "16", "--data", "POPE")
    (made,) = kit["supported_VLM"].values()
    ours = made()
    model, processor = vtc_tiny.load()
    vtc_llava.patch(model, processor, keep=16)
    scene = vtc_tiny.scene(3)
    scene.image.save(tmp_path / "scene.png")
    said = []
    for question in vtc_tiny.questions(scene):
        message = [{"type": "image", "value": str(tmp_path / "scene.png")}, {"type": "text", "value": question.text}]
        said.append(ours.generate_inner(message))
        inputs = processor(images=scene.image, text=prompt(processor, question.text), return_tensors="pt")
        ids = model.generate(**inputs)[0, inputs.input_ids.shape[1] :]
        assert said[-1] == processor.decode(ids, skip_special_tokens=True)
    assert len({*said}) > 3
    assert ours.generate_inner([{"type": "text", "value": "how many objects ?"}])  # no picture at all


@pytest.mark.parametrize(("arguments", "message"), [([], "keep or total is needed"), (["--keep", "145"], "got 145")])
def test_refusals_come_before_the_model(main, kit, capsys, arguments, message):
    with pytest.raises(SystemExit) as end:
        main(*arguments, "--data", "POPE")
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert kit["supported_VLM"] == {}
