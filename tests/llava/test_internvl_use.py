"""InternVL in use: sizes that come with tiles, copies, prompts that are read, stages; what is refused, and where."""

import copy

import numpy as np
import pytest
import torch
from small_models import picture, same

import vtc_llava
from vtc_cli.errors import BadUsage
from vtc_cli.models import plan
from vtc_onnx.folder import export_folder
from vtc_vllm.settings import served

from .families import FAMILIES, IMAGE, internvl
from .prompts import clip, encoded, new_tokens, prompts


def test_tiles_without_sizes_are_pictures_of_their_own():
    model, processor = internvl()
    case = prompts(FAMILIES["internvl"])["batch"]
    with vtc_llava.patch(model, processor, keep=4), torch.no_grad():
        inputs = encoded(processor, case)
        expected = model(**inputs).logits
        torch.testing.assert_close(model(**{**inputs, "image_sizes": None}).logits, expected, rtol=1e-5, atol=1e-5)
        same(new_tokens(model, {**inputs, "image_sizes": None}), new_tokens(model, inputs))
    with vtc_llava.patch(model, processor, total=17):
        inputs = encoded(processor, case)
        with pytest.raises(ValueError, match="image_sizes is needed with total, to know which tiles are one picture"):
            model(**{**inputs, "image_sizes": None})


def test_how_pictures_are_cut_is_settled_by_the_patch():
    model, processor = internvl()
    text, shown = "USER: <image> what ? ASSISTANT:", picture(0)
    with vtc_llava.patch(model, processor, keep=4):
        with pytest.raises(ValueError, match=r"a picture of 40 x 30 pixels was cut into 5 tiles, and .* counts with 7"):
            processor(text=text, images=shown, max_patches=4, return_tensors="pt")
        with pytest.raises(ValueError, match="was cut into 1 tiles"):
            processor(text=text, images=shown, crop_to_patches=False, return_tensors="pt")
    processor.image_processor.max_patches = 4
    with vtc_llava.patch(model, processor, keep=4) as handle:
        inputs = processor(text=text, images=shown, return_tensors="pt")
        assert int((inputs["input_ids"] == IMAGE).sum()) == 20 == handle.describe(40, 30).tokens_after
        model(**inputs)


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_pictures_may_be_arrays(kind):
    model, processor = internvl()
    shown = np.asarray(picture(0)) if kind == "array" else torch.tensor(np.asarray(picture(0))).permute(2, 0, 1)
    text = "USER: <image> what ? ASSISTANT:"
    with vtc_llava.patch(model, processor, total=17):
        inputs = processor(text=text, images=shown, return_tensors="pt")
        assert inputs["image_sizes"].tolist() == [[30, 40]]
        model(**inputs)


def test_frames_of_unequal_clips_are_told_apart():
    """Two frames, then a picture, then one frame: the sizes come in the order of the prompts."""
    model, processor = internvl()
    text = ["USER: <video> <image> what ? ASSISTANT:"]
    with vtc_llava.patch(model, processor, total=10) as handle, torch.no_grad():
        inputs = processor(text=text, images=[picture(0)], videos=[clip(0, frames=2)], return_tensors="pt")
        assert inputs["image_sizes"].tolist() == [[2, 0], [30, 40]]
        model(**inputs)
        assert [layout.tiles for layout in handle.seen["image"]] == [2, 7]


def test_a_copied_processor_works_by_itself():
    model, processor = internvl()
    asked = prompts(FAMILIES["internvl"])["picture and video"]
    with vtc_llava.patch(model, processor, total=17):
        clone = copy.deepcopy(processor)
        assert clone.vtc.processor is clone
        inputs, again = encoded(processor, asked), encoded(clone, asked)
    assert inputs.keys() == again.keys()
    for name, tensor in inputs.items():
        same(again[name], tensor)


@pytest.mark.parametrize("more", [{"method": "mmtok"}, {"stages": ["fastv:layer=1,keep=0.5"]}], ids=str)
def test_methods_that_read_the_prompt_and_stages_work_on_tiles(more):
    model, processor = internvl()
    asked = prompts(FAMILIES["internvl"])["several pictures"]
    with vtc_llava.patch(model, processor, total=17, **more):
        batch = new_tokens(model, encoded(processor, asked))
        for row, one in enumerate(asked.rows()):
            alone = new_tokens(model, encoded(processor, one))
            assert batch[row, : alone.shape[1]].tolist() == alone[0].tolist()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vision_feature_layer": [-1, -2]}, "vision_feature_layer must be one number"),
        ({"vision_feature_select_strategy": "full"}, "vision_feature_select_strategy must be 'default'"),
        ({"downsample_ratio": 0.4}, "downsample_ratio must be 1 over a whole number, got 0.4"),
    ],
)
def test_a_configuration_that_is_not_supported_is_refused(settings, message):
    model, processor = internvl()
    for name, value in settings.items():
        setattr(model.config, name, value)
    with pytest.raises(ValueError, match=message):
        vtc_llava.patch(model, processor, keep=4)


def test_more_refusals():
    model, processor = internvl()
    with pytest.raises(ValueError, match=r"keep must be an integer in \[1, 9\] .*, got 10"):
        vtc_llava.patch(model, processor, keep=10)
    with pytest.raises(ValueError, match="method 'flowcut' drops tokens inside the encoder"):
        vtc_llava.patch(model, processor, keep=4, method="flowcut")


def test_whoever_serves_no_tiles_refuses_it_in_a_sentence(tmp_path):
    model, _ = internvl()
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="serves models of model_type 'llava' and 'llava_next', got 'internvl'"):
        served(model.config, "somewhere")
    with pytest.raises(ValueError, match="of model_type 'internvl': the onnx-community layout is for a LLaVA"):
        export_folder(str(tmp_path), tmp_path / "out", keep=4)


def test_a_plan_of_the_command_line_counts_squares(tmp_path):
    model, _ = internvl()
    model.save_pretrained(tmp_path)
    assert (plan(str(tmp_path), None).keep, plan(str(tmp_path), 4).tokens) == (1, 9)
    with pytest.raises(BadUsage, match=r"keep must be an integer in \[1, 9\] .*, got 10"):
        plan(str(tmp_path), 10)
