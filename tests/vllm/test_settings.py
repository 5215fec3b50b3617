"""What an engine refuses before it starts anything: one error that names the setting, what is allowed, what came."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from engines import configured
from vllm.multimodal import MULTIMODAL_REGISTRY

import vtc_tiny
from vtc_bench.server import overrides

HOW = r"vtc is set up by --hf-overrides '{\"architectures\": \[...\], \"vtc\": {\"keep\": 64}}'"
KNOWN = r"must hold some of \['keep', 'layers', 'method', 'reduce', 'signal', 'stages', 'total'\], got "
REFUSED: list[tuple[Any, str]] = [
    ({}, "keep or total is needed: "),
    ({"layers": 3}, "keep or total is needed: "),
    ({"kept": 16}, KNOWN + r"{'kept': 16}"),
    ({"keep": 16, "vtc_keep": 16}, KNOWN),
    ({"keep": 0}, r"keep must be an integer .*1.*, got 0"),
    ({"keep": 145}, r"keep must be an integer in \[1, 144\] \(the number of patch tokens\), got 145"),
    ({"keep": "64"}, r"keep must be an integer .*, got '64'"),
    ({"keep": 16.0}, r"keep must be an integer .*, got 16.0"),
    ({"keep": True}, r"keep must be an integer .*, got True"),
    ({"total": 16}, r"total is for pictures of several tiles .* one tile: pass keep=16"),
    ({"keep": 16, "total": 16}, r"exactly one of keep .* and total .* is needed, got keep=16 and total=16"),
    ({"keep": 16, "layers": 7}, r"layers must be an integer in \[1, 6\] .*, got 7"),
    ({"keep": 16, "layers": [6]}, r"layer 6 comes after the feature layer \(layer 5 of 7\)"),
    ({"keep": 16, "reduce": "avg"}, r"reduce must be one of 'sum', 'mean', 'max', 'min', got 'avg'"),
    ({"keep": 16, "method": "vtc"}, r"method must be one of vtc-cls, .*, got 'vtc'"),
    (
        {"keep": 16, "stages": ["fastv:layer=1"]},
        "stages run inside transformers' language model, which vLLM has its own",
    ),
    ({"keep": 16, "method": 3}, r"method must be a name such as .*, got 3"),
    ({"keep": 16, "method": "visionzip:layers=3"}, r"'layers' is no parameter of method 'visionzip': .* contextual"),
    ({"keep": 16, "method": {"name": "vtc-cls", "layers": 7}}, r"layers must be an integer in \[1, 6\] .*, got 7"),
    (
        {"keep": 16, "mm_processor_kwargs": "size"},
        r"mm_processor_kwargs under vtc must be a list of names .*, got 'size'",
    ),
    ({"keep": 16, "mm_processor_kwargs": [3]}, r"mm_processor_kwargs under vtc must be a list of names .*, got \[3\]"),
]


@pytest.mark.parametrize(("vtc", "message"), REFUSED, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_wrong_settings(vtc: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=f"{message}.*{HOW}"):
        configured(vtc_tiny.PATH, overrides(vtc_tiny.PATH, vtc))


@pytest.mark.parametrize("vtc", [64, "keep", [64]])
def test_settings_of_another_form(vtc: Any):
    with pytest.raises(ValueError, match=f"{KNOWN}.*{HOW}"):
        configured(vtc_tiny.PATH, {"architectures": ["VtcLlavaForConditionalGeneration"], "vtc": vtc})


def test_no_settings_at_all():
    with pytest.raises(ValueError, match=f"keep or total is needed: .*holds no settings of its own.*{HOW}"):
        configured(vtc_tiny.PATH, {"architectures": ["VtcLlavaForConditionalGeneration"]})


def test_a_requests_budget_is_no_servers():
    with pytest.raises(ValueError, match="vtc_keep belongs into the mm_processor_kwargs of a request"):
        configured(vtc_tiny.PATH, overrides(vtc_tiny.PATH, {"keep": 16}), mm_processor_kwargs={"vtc_keep": 36})


def test_a_checkpoint_of_a_patched_model_brings_its_settings(tmp_path: Path):
    """And `--hf-overrides` replaces them, all of them."""
    config = json.loads((vtc_tiny.PATH / "config.json").read_text())
    shutil.copytree(vtc_tiny.PATH, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.json").write_text(json.dumps({**config, "vtc": {"keep": 9, "layers": [1, 2]}}))
    architecture = overrides(tmp_path, {})["architectures"]
    for vtc, wanted in (({}, (9, (1, 2))), ({"vtc": {"keep": 20}}, (20, 3))):
        made = MULTIMODAL_REGISTRY.create_processor(configured(tmp_path, {"architectures": architecture, **vtc}))
        assert (made.info.settings.keep, made.info.settings.method.layers) == wanted


@pytest.mark.parametrize(
    "vtc",
    [
        {"keep": 1},
        {"keep": 144, "layers": [-2, 0], "reduce": "max", "signal": "received"},
        {"keep": 16, "method": "visionzip:contextual=4", "mm_processor_kwargs": ["do_rescale"]},
        {"keep": 16, "method": {"name": "visionzip", "contextual": 4}},
    ],
)
def test_what_is_accepted(vtc: dict[str, Any]):
    """Or the tests above would pass if everything was refused."""
    assert configured(vtc_tiny.PATH, overrides(vtc_tiny.PATH, vtc)).architectures == [
        "VtcLlavaForConditionalGeneration"
    ]
