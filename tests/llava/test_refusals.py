"""What `patch` refuses, with which words, and that it leaves no trace then."""

import re

import numpy as np
import pytest
from small_models import make_llava, make_processor, make_tower, picture, siglip_config
from transformers import LlamaForCausalLM

import vtc_llava

from .families import FAMILIES, llava_next, llava_next_video, llava_onevision, text_config, video_llava, vipllava


def with_config(pair, **changes):
    for name, value in changes.items():
        setattr(pair[0].config, name, value)
    return pair


def llava(**settings):
    return make_llava(**settings), make_processor()


def tiles_of_another_shape():
    model, processor = llava_next()
    processor.image_processor.image_grid_pinpoints = [[48, 48]]
    return model, processor


def siglip():
    return llava(vision_config=siglip_config())


def vipllava_of_siglip():
    """The stock model drops token 0, whatever it is."""
    return with_config(vipllava(), vision_config=siglip_config())


def video_of_siglip():
    changes = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
    return with_config(video_llava(), vision_config=siglip_config(), **changes)


def full(make):
    return with_config(make(), vision_feature_select_strategy="full")


RECEIVED = {"method": "received:layers=1"}
CASES = {  # how the pair is made, arguments besides keep=5, what is raised
    "siglip": (
        siglip,
        {},
        r"ValueError: .*\(siglip_vision_model\) has no CLS token, .* a method that does without \(.*received",
    ),
    "onevision": (
        llava_onevision,
        {},
        r"ValueError: .*_model\) has no CLS token, .* a method that does without \(.*received",
    ),
    "siglip's first token": (siglip, RECEIVED, "ValueError: .*must be 'full' for a tower without CLS, got 'default'"),
    "vipllava of siglip": (vipllava_of_siglip, RECEIVED, "ValueError: .*must be 'full' for a tower without CLS"),
    "video of siglip": (video_of_siglip, RECEIVED, "ValueError: the towers of 'video_llava' must have CLS"),
    "full": (lambda: full(llava), {}, "ValueError: vision_feature_select_strategy must be 'default', got 'full'"),
    "full of tiles": (lambda: full(llava_next), {}, "ValueError: .*_select_strategy must be 'default', got 'full'"),
    "language model": (
        lambda: (LlamaForCausalLM(text_config()), make_processor()),
        {},
        r"ValueError: .*known family \(llava, vipllava, .*\), got LlamaForCausalLM of model_type 'llama'",
    ),
    "no model": (lambda: ("llava", make_processor()), {}, "ValueError: .* got str of model_type None"),
    "base model": (
        lambda: (make_llava().model, make_processor()),
        {},
        "TypeError: .*must be a LlavaForConditionalGeneration, got LlavaModel",
    ),
    "tower": (lambda: (make_tower(), make_processor()), {}, "ValueError: .*got CLIPVisionModel of model_type 'clip_vi"),
    "too many": (llava, {"keep": 37}, r"ValueError: keep must be an integer in \[1, 36\] .*, got 37"),
    "too many of a frame": (llava_next_video, {"keep": 37}, r"ValueError: keep must be .* \[1, 36\] .*, got 37"),
    "layers": (llava, {"layers": 5}, r"ValueError: layers must be an integer in \[1, 4\]"),
    "layers of several": (vipllava, {"layers": [4]}, "ValueError: layer 4 comes after the feature layer"),
    "reduce": (llava, {"reduce": "avg"}, "ValueError: reduce must be one of"),
    "method": (llava, {"method": "query"}, "ValueError: method must be one of vtc-cls, .*, got 'query'"),
    "neither": (llava, {"keep": None}, "ValueError: exactly one of keep .* and total .* is needed, got neither"),
    "both": (llava_next, {"total": 6}, "ValueError: exactly one of .* is needed, got keep=5 and total=6"),
    "total of a tile": (
        llava,
        {"keep": None, "total": 6},
        "ValueError: total is for .*; a picture of 'llava' is one tile: pass keep=6",
    ),
    "total of vipllava": (vipllava, {"keep": None, "total": 6}, "ValueError: .*'vipllava' is one tile: pass keep=6"),
    "no tokens": (llava_next, {"keep": None, "total": 0}, "ValueError: total must be .* of at least 1, got 0"),
    "tokenizer": (
        lambda: (make_llava(), make_processor().tokenizer),
        {},
        "TypeError: processor must be the model's own, with replace_image_token, image_token, got ",
    ),
    "processor of pictures": (
        lambda: (llava_next_video()[0], llava_next()[1]),
        {},
        "TypeError: .* with replace_image_token, image_token, replace_video_token, video_token, got LlavaNextProcessor",
    ),
    "pinpoints": (
        tiles_of_another_shape,
        {},
        r"ValueError: processor and model disagree on image_grid_pinpoints: \[\[48, 48\]\] and \[\[24, 48\]",
    ),
    "pooling": (
        lambda: with_config(llava_next_video(), spatial_pool_mode="max"),
        {},
        "ValueError: frames must be pooled by spatial_pool_mode 'average', .*, got 'max', 2, 6",
    ),
    "aspect ratio": (
        lambda: with_config(llava_onevision(), vision_aspect_ratio="square"),
        RECEIVED,
        "ValueError: vision_aspect_ratio must be 'anyres_max_N', got 'square'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refusals_leave_no_trace(case):
    make, settings, message = CASES[case]
    model, processor = make()
    touched = (model, getattr(model, "model", None), getattr(model, "config", None), processor)
    parts = [part for part in touched if hasattr(part, "__dict__")]
    before = [dict(vars(part)) for part in parts]
    with pytest.raises((ValueError, TypeError)) as error:
        vtc_llava.patch(model, processor, **{"keep": 5, **settings})
    assert re.match(message, f"{error.type.__name__}: {error.value}"), error.value
    assert [dict(vars(part)) for part in parts] == before


@pytest.mark.parametrize("family", FAMILIES)
def test_patching_twice_is_refused(family):
    case = FAMILIES[family]
    model, processor = case.make()
    vtc_llava.patch(model, processor, keep=5, method=case.method)
    with pytest.raises(ValueError, match=r"this model is already patched \(keep=5\): undo that first"):
        vtc_llava.patch(model, processor, keep=7, method=case.method)
    with pytest.raises(ValueError, match=r"this processor is already patched \(keep=5\)"):
        vtc_llava.patch(case.make()[0], processor, keep=7, method=case.method)
    assert model.vtc.keep == 5


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("vipllava", "vision_feature_layer"),
        ("llava_next", "vision_feature_layer"),
        ("llava_next", "vision_feature_select_strategy"),
        ("llava_onevision", "vision_aspect_ratio"),
    ],
)
def test_features_of_other_layers_are_refused_while_patched(family, name):
    case = FAMILIES[family]
    model, processor = case.make()
    vtc_llava.patch(model, processor, keep=5, method=case.method)
    with pytest.raises(ValueError, match=f"{name} is fixed while patched: it must be .*, got 'other'"):
        model.model.get_image_features(None, **{name: "other"})


def test_sizes_that_do_not_fit_the_tiles_are_refused():
    model, processor = llava_next()
    vtc_llava.patch(model, processor, keep=5)
    inputs = processor.image_processor([picture(0, 48, 24)], return_tensors="pt")
    with pytest.raises(ValueError, match="these sizes need 3 tiles, pixel values have 2"):
        model.model.get_image_features(inputs["pixel_values"][0, :2], inputs["image_sizes"])


@pytest.mark.parametrize("family", ["llava", "llava_next_video"])
def test_interpolated_positions_are_refused_by_name(family):
    case = FAMILIES[family]
    model, processor = case.make()
    inputs = processor.image_processor(picture(0), return_tensors="pt")
    vtc_llava.patch(model, processor, keep=5)
    refused = "interpolate_pos_encoding must be False while patched, got True"
    with pytest.raises(ValueError, match=refused):
        model.model.get_image_features(**inputs, interpolate_pos_encoding=True)
    model.model.get_image_features(**inputs, interpolate_pos_encoding=False)
    if case.videos:
        clip = processor.video_processor(np.zeros((3, 24, 24, 3), np.uint8))
        with pytest.raises(ValueError, match=refused):
            model.model.get_video_features(**clip, interpolate_pos_encoding=True)
