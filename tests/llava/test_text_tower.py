"""CLIP's text tower, for methods that compare words and patches as CLIP does."""

import pytest
import torch
from small_models import WORDS, same
from transformers import CLIPModel

import vtc_llava

from .families import llava_siglip
from .small_clip import LONGEST, save_clip, text_tower
from .wording import asked, patchable


def test_long_prompts_are_read_in_parts_of_their_own():
    clip, words = text_tower(), ["what", "color", "is", "star", "red", "blue", "how", "many", "?", "yes", "no"]
    made = clip.of_prompts(["what", " ".join(words), ""])
    inside = LONGEST - 2
    assert made.shape == (3, 2, 12)
    for number in range(2):
        (part,) = clip.of_prompts([" ".join(words[inside * number :][:inside])])
        torch.testing.assert_close(made[1, number], part[0])
    assert not made[0, 1:].any()
    assert made[2, 0].any()  # beginning and end alone


def test_patches_and_prompts_are_seen_as_clip_sees_them(tmp_path):
    clip = vtc_llava.TextTower.from_pretrained(str(save_clip(tmp_path)))
    whole = CLIPModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        pixels = torch.randn(2, 3, 24, 24)
        last = whole.vision_model(pixels, output_hidden_states=True).hidden_states[-1]
        stock = whole.get_image_features(pixels)
        stock = getattr(stock, "pooler_output", stock)
        torch.testing.assert_close(clip.of_patches(last)[:, 0], stock)
        ids = torch.tensor([[1, WORDS.index("red"), WORDS.index("star"), 2]])
        words = whole.get_text_features(input_ids=ids)
        torch.testing.assert_close(clip.of_prompts(["red star"])[:, 0], getattr(words, "pooler_output", words))


def test_a_text_tower_is_a_folder_or_one_that_was_read(tmp_path):
    model, processor = patchable()
    model.save_pretrained(tmp_path / "llava")
    processor.save_pretrained(tmp_path / "llava")
    save_clip(tmp_path / "clip")
    with vtc_llava.patch(model, processor, keep=7, method="trim", text_tower=str(tmp_path / "clip")), torch.no_grad():
        wanted = model(**asked(processor)).logits
        model.save_pretrained(tmp_path / "llava")
    with pytest.raises(ValueError, match=r"^method 'trim' compares words and patches as CLIP does: pass text_t"):
        vtc_llava.load(str(tmp_path / "llava"))
    again, processor = vtc_llava.load(str(tmp_path / "llava"), text_tower=str(tmp_path / "clip"))
    with torch.no_grad():
        same(again(**asked(processor)).logits, wanted)


def test_text_towers_that_do_not_fit(pair, tmp_path):
    model, processor = pair
    with pytest.raises(ValueError, match=r"text_tower is for .* \(cdpruner, trim\), not for 'mmtok'"):
        vtc_llava.patch(model, processor, keep=7, method="mmtok", text_tower=text_tower())
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="text_tower must be a CLIP with both towers, got model_type 'llava'"):
        vtc_llava.patch(model, processor, keep=7, method="trim", text_tower=str(tmp_path))
    with pytest.raises(ValueError, match="compares words and patches of a CLIP, the vision tower is a 'siglip"):
        vtc_llava.patch(*llava_siglip(), keep=7, method="trim", text_tower=text_tower())
    assert "vtc" not in vars(model)
