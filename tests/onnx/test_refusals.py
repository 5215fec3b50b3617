"""What export and PrunedEncoder refuse, before any work; and that no half-written file stays, whatever happens."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from small_models import make_llava, siglip_config
from transformers import SiglipVisionModel

import vtc_onnx
from vtc_core.methods import VtcCls
from vtc_onnx import graph, verifying
from vtc_torch import PrunedEncoder as TorchEncoder

from .small import small


@pytest.fixture
def no_work(monkeypatch):
    """A test fails that gets as far as reading the model's weights or tracing."""

    def worked(*args, **kwargs):
        raise AssertionError("worked before it refused")

    monkeypatch.setattr("vtc_onnx.tracing.encoder", worked)
    monkeypatch.setattr("vtc_torch.loading.read_tower", worked)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"keep": 10}, ValueError, r"keep must be an integer in \[1, 9\] \(the number of patch tokens\), got 10"),
        ({"keep": 0}, ValueError, r"keep must be an integer in \[1, 9\]"),
        ({"method": VtcCls(2)}, ValueError, r"layers must be an integer in \[1, 1\] .*, got 2"),
        ({"method": "vtc-cls:reduce=avg"}, ValueError, "reduce must be one of 'sum', 'mean', 'max', 'min', got 'avg'"),
        ({"feature_layer": 3}, ValueError, r"feature_layer must be an integer in \[1, 2\] or \[-2, -1\] .*, got 3"),
        ({"dtype": "bfloat16"}, ValueError, "dtype must be one of 'float32', 'float16', got 'bfloat16'"),
        ({"quantize": "int4"}, ValueError, "quantize must be 'int8' or None, got 'int4'"),
        ({"quantize": "int8", "dtype": "float16"}, ValueError, "dtype must be 'float32', got 'float16'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, arguments, kind, message):
    with pytest.raises(kind, match=message):
        vtc_onnx.export(small(), tmp_path / "e.onnx", **({"keep": 4, "method": VtcCls(1)} | arguments))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_work")
def test_sources_that_cannot_be_exported_are_refused(tmp_path):
    path, tower = tmp_path / "e.onnx", small()
    with pytest.raises(ValueError, match="SiglipVisionModel has no CLS token"):
        vtc_onnx.export(SiglipVisionModel(siglip_config()), path)
    with pytest.raises(ValueError, match="method 'flowcut' cannot be exported: it drops tokens inside the encoder"):
        vtc_onnx.export(TorchEncoder(tower, 4, "flowcut"), path)
    with pytest.raises(ValueError, match="keep is that of the PrunedEncoder that is exported and cannot be given"):
        vtc_onnx.export(TorchEncoder(tower, 4, VtcCls(1)), path, keep=5)
    with pytest.raises(ValueError, match="LlavaForConditionalGeneration has vision_feature_select_strategy 'full'"):
        vtc_onnx.export(make_llava(vision_feature_select_strategy="full"), path)
    with pytest.raises(TypeError, match=r"source must be a folder or hub id, .*, got int"):
        vtc_onnx.export(7, path)
    with pytest.raises(ValueError, match="got Linear"):
        vtc_onnx.export(torch.nn.Linear(2, 2), path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_work")
def test_checkpoints_of_other_kinds_are_refused(tmp_path):
    SiglipVisionModel(siglip_config()).save_pretrained(tmp_path / "siglip")
    with pytest.raises(ValueError, match="has no CLS token"):
        vtc_onnx.export(tmp_path / "siglip", tmp_path / "e.onnx")
    make_llava(vision_feature_select_strategy="full").config.save_pretrained(tmp_path / "full")
    with pytest.raises(ValueError, match="full has vision_feature_select_strategy 'full', it must be 'default'"):
        vtc_onnx.export(tmp_path / "full", tmp_path / "e.onnx")
    config = (tmp_path / "full" / "config.json").read_text()
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "config.json").write_text(config.replace('"llava"', '"llava_next"'))
    with pytest.raises(ValueError, match=r"must be of model_type 'clip', .*, 'llava', 'internvl', got 'llava_next'"):
        vtc_onnx.export(tmp_path / "next", tmp_path / "e.onnx")


@pytest.mark.usefixtures("no_work")
def test_a_file_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "e.onnx"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match=r"e\.onnx is there already: pass overwrite=True to replace it"):
        vtc_onnx.export(small(), path, 4, VtcCls(1))
    assert path.read_text() == "mine"
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere to write e\.onnx to"):
        vtc_onnx.export(small(), tmp_path / "nowhere" / "e.onnx", 4, VtcCls(1))
    with pytest.raises(IsADirectoryError, match="path must be a file, got the folder"):
        vtc_onnx.export(small(), tmp_path, 4, VtcCls(1))


def test_without_torch_the_error_says_what_to_install():
    program = "import sys; sys.modules['torch'] = None; import vtc_onnx; vtc_onnx.export('x', 'x.onnx')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ImportError: vtc_onnx.export needs torch, transformers and onnxscript" in done.stderr
    assert "pip install 'vtc-cls[torch,onnx]'" in done.stderr


# --- failures on the way ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_nothing_half_written_stays(tmp_path, monkeypatch, failure):
    path = tmp_path / "e.onnx"
    path.write_text("mine")
    seen = []

    def interrupted(made, *args):
        seen.append((made.parent.parent, made.stat().st_size > 10_000))
        raise failure

    monkeypatch.setattr(verifying, "verify", interrupted)
    with pytest.raises(failure):
        vtc_onnx.export(small(), path, 4, VtcCls(1), overwrite=True)
    assert seen == [(tmp_path, True)]  # it was written, next to where it was to go
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "mine"


def lowest(op, scores, keep):
    """Keeps the lowest scores."""
    return select(op, op.Neg(scores), keep)


select = graph.select


def test_a_file_that_keeps_other_tokens_is_found_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "select", lowest)
    with pytest.raises(RuntimeError, match=r"does not keep the tokens with its highest scores \(batch 1, keep 1\)"):
        vtc_onnx.export(small(), tmp_path / "e.onnx", 4, VtcCls(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["features", "scores"])
def test_a_file_that_computes_something_else_is_found_and_removed(tmp_path, monkeypatch, part):
    class Other(vtc_onnx.PrunedEncoder):
        def __call__(self, *arguments):
            made = super().__call__(*arguments)
            return made._replace(**{part: getattr(made, part) * np.float32(1.01)})

    monkeypatch.setattr(verifying, "PrunedEncoder", Other)
    message = rf"{part} of the exported file differ by \d.* from torch's \(batch 1, keep 1\); at most \d.* is allowed"
    with pytest.raises(RuntimeError, match=message):
        vtc_onnx.export(small(), tmp_path / "e.onnx", 4, VtcCls(1))
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_method_is_found(path):
    encoder = TorchEncoder(small(), 4, "random")
    with pytest.raises(RuntimeError, match="scores of the exported file differ"):
        verifying.verify(path, encoder, "float32")
