"""What is refused before weights are read, in one error; and which spellings get through lmms-eval's parser."""

import re
from pathlib import Path
from typing import Any

import families
import pytest
from evaluating import TINY
from lmms_eval.models import get_model
from transformers import PreTrainedModel

from vtc_lmms.settings import HOW

REFUSED = [
    ("", "keep or total is needed: "),
    ("layers=3", "keep or total is needed: "),
    ("keep=0", r"keep must be an integer .*1.*, got 0"),
    ("keep=145", r"keep must be an integer in \[1, 144\] \(the number of patch tokens\), got 145"),
    ("keep=16.5", r"keep must be an integer .*, got 16.5"),
    ("keep=most", r"keep must be an integer .*, got 'most'"),
    ("keep=true", r"keep must be an integer .*, got True"),
    ("total=16", r"total is for pictures of several tiles .* one tile: pass keep=16"),
    ("keep=16,total=16", r"exactly one of keep .* and total .* is needed, got keep=16 and total=16"),
    ("keep=16,layers=7", r"layers must be an integer in \[1, 6\] .*, got 7"),
    ("keep=16,reduce=avg", r"reduce must be one of 'sum', 'mean', 'max', 'min', got 'avg'"),
    ("keep=16,method=vtc", r"method must be one of vtc-cls, .*, got 'vtc'"),
    ("keep=16,method=visionzip:layers=3", r"'layers' is no parameter of method 'visionzip': .* contextual"),
    ("keep=16,method=visionzip,layers=3", r"layers are shorthands for method 'vtc-cls': pass either them or method"),
    ('keep=16,method={"name": "visionzip"', r"method begins as JSON does, and is none"),
]


def load(arguments: str) -> Any:
    return get_model("vtc_llava_hf").create_from_arg_string(f"{TINY},{arguments}", {"batch_size": 1, "device": "cpu"})


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", lambda *_, **__: pytest.fail("weights are read"))


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_wrong_settings(arguments: str, message: str):
    with pytest.raises(ValueError, match=f"{message}.*{re.escape(HOW)}"):
        load(arguments)


@pytest.mark.usefixtures("no_weights")
def test_a_comma_within_a_method_is_explained():
    with pytest.raises(
        ValueError, match=r"--model_args has no cell; it has .*keep.*method.*in double quotes: method=\""
    ):
        load("keep=16,method=vflowopt:threshold=2.0,cell=8.0")


@pytest.mark.usefixtures("no_weights")
def test_a_family_that_the_stock_model_does_not_know(tmp_path: Path):
    families.vipllava()[0].config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"pretrained must be of model_type llava, llava_next, .*, got 'vipllava'"):
        load(f"pretrained={tmp_path},keep=16")


SPELLED: list[tuple[str, dict[str, Any]]] = [
    ("method=visionzip:contextual=4", {"name": "visionzip", "contextual": 4}),
    ('method="visionzip:contextual=4"', {"name": "visionzip", "contextual": 4}),
    ('method={"name": "visionzip", "contextual": 4}', {"name": "visionzip", "contextual": 4}),
    ('method="vflowopt:threshold=2.0,cell=8.0"', {"name": "vflowopt", "threshold": 2.0, "cell": 8.0}),
    ("layers=2,reduce=max", {"name": "vtc-cls", "layers": 2, "reduce": "max"}),
    ("layers=[-4,-3]", {"name": "vtc-cls", "layers": (-4, -3), "reduce": "sum"}),
    ("method=vtc-cls:layers=3+4", {"name": "vtc-cls", "layers": (3, 4), "reduce": "sum"}),
]


@pytest.mark.parametrize(("arguments", "method"), SPELLED)
def test_spellings(arguments: str, method: dict[str, Any]):
    (recorded,) = load(f"keep=16,{arguments}").batch_sizes.values()
    assert {key: recorded["method"][key] for key in method} == method
    assert recorded["keep"] == 16
