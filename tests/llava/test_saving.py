"""`load`, and what `save_pretrained` of a patched pair leaves behind."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import make_llava, make_processor, make_tower, same
from transformers import AutoProcessor

import vtc_llava
from vtc_llava import patching

from .families import FAMILIES, IMAGE, llava, llava_next, llava_siglip
from .prompts import encoded, prompts


def saved(pair, path):
    for part in pair:
        part.save_pretrained(path)
    return str(path)


def test_load_returns_a_patched_pair(tmp_path):
    model, processor = llava()
    where = saved((model, processor), tmp_path)
    loaded, its_processor = vtc_llava.load(where, keep=5, layers=2, reduce="max", dtype=torch.float32)
    assert (loaded.vtc.keep, loaded.vtc.encoder.layers, loaded.vtc.encoder.reduce) == (5, (2, 3), "max")
    assert not loaded.training
    vtc_llava.patch(model, processor, 5, 2, "max")
    inputs = encoded(its_processor, prompts(FAMILIES["llava"])["batch"])
    same(inputs["input_ids"], encoded(processor, prompts(FAMILIES["llava"])["batch"])["input_ids"])
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, rtol=1e-5, atol=1e-5)


SETTINGS = [{"keep": 5}, {"total": 17, "layers": (1, 3), "reduce": "max"}, {"keep": 9, "layers": 1}]


PAIRS = [(f, s) for f, case in FAMILIES.items() for s in SETTINGS if case.total or "keep" in s]


@pytest.mark.parametrize(("family", "settings"), PAIRS, ids=str)
def test_a_saved_pair_comes_back_pruned_and_its_folder_is_a_stock_checkpoint(family, settings, tmp_path, monkeypatch):
    case = FAMILIES[family]
    model, processor = case.make()
    asked = prompts(case)["batch"]
    whole = model(**encoded(processor, asked)).logits
    with vtc_llava.patch(model, processor, **settings, signal=case.signal):
        expected = model(**encoded(processor, asked)).logits
        model.save_pretrained(tmp_path)
        if not case.videos:  # the stand-in for the stock video processor cannot be saved
            processor.save_pretrained(tmp_path)
            assert "vtc" not in json.dumps([json.loads(f.read_text()) for f in tmp_path.glob("*processor*.json")])
    if case.videos:
        monkeypatch.setattr(patching.AutoProcessor, "from_pretrained", lambda *args, **kwargs: case.make()[1])
    saved_settings = json.loads((tmp_path / "config.json").read_text())["vtc"]
    assert set(saved_settings) == {*settings, "layers", "reduce", "signal"}

    again, its_processor = vtc_llava.load(str(tmp_path))
    assert again.vtc.settings == model_settings(settings, case.signal)
    torch.testing.assert_close(again(**encoded(its_processor, asked)).logits, expected, rtol=1e-5, atol=1e-5)
    again.vtc.undo()
    assert again.config.vtc == saved_settings  # what the checkpoint said before it was patched

    stock = type(model).from_pretrained(tmp_path)
    its_processor = case.make()[1] if case.videos else AutoProcessor.from_pretrained(tmp_path)
    torch.testing.assert_close(stock(**encoded(its_processor, asked)).logits, whole, rtol=1e-5, atol=1e-5)


def model_settings(settings, signal):
    defaults = {"keep": None, "total": None, "layers": 3, "reduce": "sum"}
    return vtc_llava.Settings(**{**defaults, **settings}, signal=signal)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"total": 17, "layers": 2, "reduce": "max"}),
        ({"keep": 7}, {"keep": 7, "layers": 2, "reduce": "max"}),
        ({"total": 9, "layers": 1}, {"total": 9, "layers": 1, "reduce": "max"}),
        ({"reduce": "min"}, {"total": 17, "layers": 2, "reduce": "min"}),
    ],
)
def test_arguments_go_before_what_was_saved(given, expected, tmp_path):
    model, processor = llava_next()
    with vtc_llava.patch(model, processor, total=17, layers=2, reduce="max"):
        where = saved((model, processor), tmp_path)
    assert vtc_llava.load(where, **given)[0].vtc.settings == model_settings(expected, "cls")


def test_without_numbers_and_without_settings_the_error_says_so(tmp_path):
    where = saved(llava(), tmp_path)
    with pytest.raises(ValueError, match=r"keep or total is needed: .* holds no settings of its own .* key vtc"):
        vtc_llava.load(where)


@pytest.mark.parametrize("held", [{"keep": 5, "method": "cls"}, 64, [3]])
def test_settings_of_another_form_are_refused(held, tmp_path):
    where = saved(llava(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vtc": held}))
    with pytest.raises(ValueError, match=r"the key vtc in the config of .* must hold some of"):
        vtc_llava.load(where)


def test_undoing_a_patch_forgets_the_settings():
    model, processor = llava()
    with vtc_llava.patch(model, processor, keep=5):
        assert model.config.vtc == {"keep": 5, "layers": 3, "reduce": "sum", "signal": "cls"}
    assert not hasattr(model.config, "vtc")


def test_load_refuses_before_it_reads_weights(tmp_path):
    make_llava().config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"keep must be an integer in \[1, 36\] .*, got 37"):
        vtc_llava.load(str(tmp_path), keep=37)
    llava_siglip()[0].config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r'has no CLS token, .*: pass signal="received"'):
        vtc_llava.load(str(tmp_path), keep=5)
    make_tower().config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"known family \(llava, .*\), got .* of model_type 'clip_vision_model'"):
        vtc_llava.load(str(tmp_path), keep=5)


def test_load_names_the_tensors_that_a_checkpoint_lacks(tmp_path):
    where = saved((make_llava(), make_processor()), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["multi_modal_projector.linear_1.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks tensors of the model \(1 in all\): .*projector\.linear_1\.weight"):
        vtc_llava.load(where, keep=5)


def test_a_loaded_siglip_is_pruned_by_the_other_signal(tmp_path):
    where = saved(llava_siglip(), tmp_path)
    model, processor = vtc_llava.load(where, keep=5, signal="received")
    inputs = encoded(processor, prompts(FAMILIES["llava of siglip"])["one picture"])
    assert (inputs["input_ids"] == IMAGE).sum() == 5
    model(**inputs)
    assert model.vtc.settings.signal == "received"
