"""`load`, and what `save_pretrained` of a patched pair leaves behind."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import make_llava, make_processor, make_tower, same
from transformers import AutoProcessor

import vtc_llava
from vtc_core.methods import FasterVlm, Received, VtcCls, method_of
from vtc_llava import reading

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
    assert (loaded.vtc.keep, loaded.vtc.settings.method) == (5, VtcCls(2, "max"))
    assert not loaded.training
    vtc_llava.patch(model, processor, 5, 2, "max")
    inputs = encoded(its_processor, prompts(FAMILIES["llava"])["batch"])
    same(inputs["input_ids"], encoded(processor, prompts(FAMILIES["llava"])["batch"])["input_ids"])
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, rtol=1e-5, atol=1e-5)


SETTINGS = [
    {"keep": 5},
    {"total": 17, "layers": (1, 3), "reduce": "max"},
    {"keep": 9, "layers": 1},
    {"keep": 7, "method": "random:seed=3"},
]


PAIRS = [(f, s) for f, case in FAMILIES.items() for s in SETTINGS if case.total or "keep" in s]


@pytest.mark.parametrize(("family", "settings"), PAIRS, ids=str)
def test_a_saved_pair_comes_back_pruned_and_its_folder_is_a_stock_checkpoint(family, settings, tmp_path, monkeypatch):
    case = FAMILIES[family]
    settings = with_method(settings, case)
    model, processor = case.make()
    asked = prompts(case)["batch"]
    whole = model(**encoded(processor, asked)).logits
    with vtc_llava.patch(model, processor, **settings):
        expected = model(**encoded(processor, asked)).logits
        model.save_pretrained(tmp_path)
        if not case.videos:  # the stand-in for the stock video processor cannot be saved
            processor.save_pretrained(tmp_path)
            assert "vtc" not in json.dumps([json.loads(f.read_text()) for f in tmp_path.glob("*processor*.json")])
    if case.videos:
        monkeypatch.setattr(reading.AutoProcessor, "from_pretrained", lambda *args, **kwargs: case.make()[1])
    saved_settings = json.loads((tmp_path / "config.json").read_text())["vtc"]
    assert set(saved_settings) == {"method", *({"keep", "total"} & set(settings))}

    again, its_processor = vtc_llava.load(str(tmp_path))
    assert again.vtc.settings == vtc_llava.Settings(
        settings.get("keep"), settings.get("total"), method_of(settings["method"])
    )
    torch.testing.assert_close(again(**encoded(its_processor, asked)).logits, expected, rtol=1e-5, atol=1e-5)
    again.vtc.undo()
    assert again.config.vtc == saved_settings  # what the checkpoint said before it was patched

    stock = type(model).from_pretrained(tmp_path)
    its_processor = case.make()[1] if case.videos else AutoProcessor.from_pretrained(tmp_path)
    torch.testing.assert_close(stock(**encoded(its_processor, asked)).logits, whole, rtol=1e-5, atol=1e-5)


def with_method(settings, case):
    """The shorthands as a method, the family's own where none is named."""
    shorthands = {key: settings[key] for key in ("layers", "reduce") if key in settings}
    others = {key: value for key, value in settings.items() if key not in shorthands}
    return {"method": {"name": case.method, **shorthands}, **others}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (None, 17, VtcCls(2, "max"))),
        ({"keep": 7}, (7, None, VtcCls(2, "max"))),
        ({"total": 9, "layers": 1}, (None, 9, VtcCls(1, "max"))),
        ({"reduce": "min"}, (None, 17, VtcCls(2, "min"))),
        ({"method": "fastervlm"}, (None, 17, FasterVlm())),
        ({"method": VtcCls(4), "keep": 2}, (2, None, VtcCls(4))),
    ],
)
def test_arguments_go_before_what_was_saved(given, expected, tmp_path):
    model, processor = llava_next()
    with vtc_llava.patch(model, processor, total=17, layers=2, reduce="max"):
        where = saved((model, processor), tmp_path)
    assert vtc_llava.load(where, **given)[0].vtc.settings == vtc_llava.Settings(*expected)


@pytest.mark.parametrize(
    ("held", "method"),
    [
        ({"layers": [1, 3], "reduce": "max", "signal": "cls"}, VtcCls((1, 3), "max")),
        ({"layers": 2, "reduce": "sum", "signal": "received"}, Received(2)),
        ({}, VtcCls()),
    ],
)
def test_what_version_01_saved_still_loads(held, method, tmp_path):
    where = saved(llava(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vtc": {"keep": 5, **held}}))
    assert vtc_llava.load(where)[0].vtc.settings == vtc_llava.Settings(5, None, method)


def test_without_numbers_and_without_settings_the_error_says_so(tmp_path):
    where = saved(llava(), tmp_path)
    with pytest.raises(ValueError, match=r"keep or total is needed: .* holds no settings of its own .* key vtc"):
        vtc_llava.load(where)


def test_a_signal_that_version_01_did_not_know_is_refused(tmp_path):
    where = saved(llava(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vtc": {"keep": 5, "signal": "sum"}}))
    with pytest.raises(ValueError, match="signal must be one of 'cls', 'received', got 'sum'"):
        vtc_llava.load(where)


@pytest.mark.parametrize("held", [{"keep": 5, "metod": "vtc-cls"}, 64, [3]])
def test_settings_of_another_form_are_refused(held, tmp_path):
    where = saved(llava(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vtc": held}))
    with pytest.raises(ValueError, match=r"the key vtc in the config of .* must hold some of"):
        vtc_llava.load(where)


def test_undoing_a_patch_forgets_the_settings():
    model, processor = llava()
    with vtc_llava.patch(model, processor, keep=5):
        assert model.config.vtc == {"keep": 5, "method": {"name": "vtc-cls", "layers": 3, "reduce": "sum"}}
    assert not hasattr(model.config, "vtc")


def test_load_refuses_before_it_reads_weights(tmp_path):
    make_llava().config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"keep must be an integer in \[1, 36\] .*, got 37"):
        vtc_llava.load(str(tmp_path), keep=37)
    llava_siglip()[0].config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has no CLS token, .* a method that does without \(.*received"):
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


def test_a_loaded_siglip_is_pruned_by_another_method(tmp_path):
    where = saved(llava_siglip(), tmp_path)
    model, processor = vtc_llava.load(where, keep=5, method="received")
    inputs = encoded(processor, prompts(FAMILIES["llava of siglip"])["one picture"])
    assert (inputs["input_ids"] == IMAGE).sum() == 5
    model(**inputs)
    assert model.vtc.settings.method == Received()
