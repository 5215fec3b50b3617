"""Stock lmms-eval measures a pruned model as it measures its own, and what the library answers."""

import json
from typing import Any

import pytest
from evaluating import TINY, answers, comparable, evaluated
from lmms_eval.models import get_model_manifest
from transformers import LlavaForConditionalGeneration

import vtc_tiny
from vtc_core.methods import method_of

STOCK = f"{TINY},device_map=cpu"  # whose own default transformers 5 refuses
FEW = 64  # questions


@pytest.fixture(scope="module")
def stock() -> dict[str, Any]:
    return evaluated("llava_hf", STOCK, limit=FEW)


def test_the_entry_point_tells_lmms_eval_of_the_model():
    manifest = get_model_manifest("vtc_llava_hf")
    assert manifest.chat_class_path == "vtc_lmms.model.VtcLlavaHf"
    assert manifest.simple_class_path is None


@pytest.mark.parametrize("keep", ["all", "144"])
@pytest.mark.parametrize("batch", [1, 7])
def test_with_every_token_the_results_are_the_stock_models(stock: dict[str, Any], keep: str, batch: int):
    ours = comparable(evaluated("vtc_llava_hf", f"{TINY},keep={keep}", batch=batch, limit=FEW))
    assert ours == comparable(stock)
    assert len({*answers(stock)}) > 10  # of another question another answer


def test_few_tokens_are_another_result(stock: dict[str, Any]):
    """Or the test above would pass if nothing was pruned."""
    assert answers(evaluated("vtc_llava_hf", f"{TINY},keep=1", batch=16, limit=FEW)) != answers(stock)


@pytest.mark.parametrize("method", ["vtc-cls", "visionzip:contextual=2"])
def test_accuracy_is_what_quality_measures(monkeypatch: pytest.MonkeyPatch, method: str):
    """Of the same questions, by kind, right answer for right answer."""
    import quality

    monkeypatch.setattr(quality, "DIVISORS", (9,))  # 16 of 144
    (measured,) = quality.answers([method_of(method)], 512)
    right = measured["right"][method]["16"]
    results = evaluated("vtc_llava_hf", f"{TINY},keep=16,method={method}", batch=64, limit=512)
    hits = [s["doc"]["kind"] for s in results["samples"]["vtc_scenes"] if s["exact_match"] == 1]
    assert {kind: hits.count(kind) for kind in right} == right
    assert results["results"]["vtc_scenes"]["exact_match,none"] == sum(right.values()) / 512


def test_the_results_config_holds_every_setting_and_the_version():
    arguments = f"{TINY},keep=16,layers=2,reduce=max"
    config = evaluated("vtc_llava_hf", arguments, batch=4, limit=4)["config"]
    assert json.loads(json.dumps(config["batch_sizes"])) == [
        {"vtc": "0.1.0", "keep": 16, "method": {"name": "vtc-cls", "layers": 2, "reduce": "max"}}
    ]
    assert config["model_args"] == arguments


def test_a_checkpoint_of_a_patched_model_brings_its_settings(tmp_path: Any):
    import vtc_llava

    model, processor = vtc_tiny.load()
    vtc_llava.patch(model, processor, keep=9, method="divprune")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    saved = evaluated("vtc_llava_hf", f"pretrained={tmp_path}", batch=16, limit=FEW)
    given = evaluated("vtc_llava_hf", f"{TINY},keep=9,method=divprune", batch=16, limit=FEW)
    assert answers(saved) == answers(given)
    assert saved["config"]["batch_sizes"] == given["config"]["batch_sizes"]


def test_an_error_while_generating_ends_the_run(monkeypatch: pytest.MonkeyPatch):
    """The stock model goes on with an empty answer, which is counted as a wrong one."""

    def generate(self: Any, **inputs: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(LlavaForConditionalGeneration, "generate", generate)
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluated("vtc_llava_hf", f"{TINY},keep=16", limit=2)
