"""Every method of the catalogue: its file against NumPy at every budget, or a refusal in one sentence."""

import numpy as np
import pytest
import torch
from small_models import clip_config, make_llava, pixels

import vtc_core
import vtc_onnx
from vtc_core.methods import METHODS, Seen, combine, method_of, reads_prompt
from vtc_onnx import loops, methods, operators
from vtc_torch import PrunedEncoder as TorchEncoder

TOKENS, DEFAULT = 16, 5
EXPORTED = [name for name, kind in METHODS.items() if name not in methods.NONE and not reads_prompt(kind)]
FEWER = {"vtc-cls": "vtc-cls:layers=2", "received": "received:layers=2"}  # the tower has two useful layers


@pytest.fixture(scope="module")
def llava():
    return make_llava(vision_config=clip_config(depth=3, dim=16, heads=2, grid=4))


def expected(llava, pixel_values, method, budgets):
    """The specification's own verbs and NumPy's arithmetic, on what torch saw."""
    tower, projector = llava.model.vision_tower, llava.model.multi_modal_projector
    looked = TorchEncoder(tower, 1, method, projector=projector).look(pixel_values)
    everything = torch.arange(-method.feeds_cls, TOKENS).expand(len(pixel_values), -1)
    features = looked.finish(everything).numpy()
    cls_feature, features = (features[:, 0], features[:, 1:]) if method.feeds_cls else (None, features)
    seen = Seen(*(None if field is None else field.numpy() for field in looked.seen))
    for keep in budgets:
        choice = method.choose(vtc_core, seen, keep)
        if method.merges_projected:
            yield combine(vtc_core, seen.projected, choice), choice
        else:
            yield projector(torch.from_numpy(combine(vtc_core, features, choice, cls_feature))).numpy(), choice


@pytest.mark.parametrize("name", EXPORTED)
def test_every_method_is_exported(name, llava, tmp_path):
    method, static = method_of(FEWER.get(name, name)), name in methods.FIXED
    vtc_onnx.export(llava, tmp_path / "e.onnx", DEFAULT, method, static_keep=static)
    file, pixel_values = vtc_onnx.PrunedEncoder(tmp_path / "e.onnx", threads=1), pixels(llava.model.vision_tower)
    assert method_of(file.metadata.method) == method
    budgets = [DEFAULT] if static else range(1, TOKENS + 1)
    with torch.inference_mode():
        wanted = list(expected(llava, pixel_values, method, budgets))
    for keep, (features, choice) in zip(budgets, wanted, strict=True):
        got = file(pixel_values.numpy(), keep)
        np.testing.assert_array_equal(got.indices, choice.indices, err_msg=f"keep {keep}")
        np.testing.assert_allclose(got.features, features, rtol=0, atol=1e-4 * np.abs(features).max())
        np.testing.assert_allclose(got.scores, choice.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "reason"), (methods.NONE | methods.FIXED).items())
def test_what_has_no_graph_is_refused_in_one_sentence(name, reason, llava, tmp_path):
    words = "cannot be exported" if name in methods.NONE else "can be exported with a fixed keep only"
    with pytest.raises(ValueError, match=f"^method '{name}' {words}: {reason}$"):
        vtc_onnx.export(llava, tmp_path / "e.onnx", DEFAULT, name)
    assert list(tmp_path.iterdir()) == []


def test_a_rule_that_is_another_in_the_file_is_found_and_removed(llava, tmp_path, monkeypatch):
    """One greedy rule in place of the other: nothing but the kept tokens shows it."""
    other = {torch.ops.vtc.disperse.default: loops.farthest}
    monkeypatch.setattr(operators, "TRANSLATIONS", operators.TRANSLATIONS | other)
    with pytest.raises(RuntimeError, match="the exported file keeps other tokens than torch"):
        vtc_onnx.export(llava, tmp_path / "e.onnx", DEFAULT, "todre")
    assert list(tmp_path.iterdir()) == []
