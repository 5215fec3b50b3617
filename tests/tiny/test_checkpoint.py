"""The shipped checkpoint: stock classes load it, in the published layout, and it answers."""

import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoProcessor, CLIPImageProcessor, LlavaForConditionalGeneration, LlavaProcessor

import vtc_tiny
from vtc_tiny.scenes import CELLS, COLORS, SHAPES
from vtc_tiny.stream import pixel_values
from vtc_tiny.tokenizer import UNK


@pytest.fixture(scope="module")
def pair():
    return vtc_tiny.load()


def _prompt(processor, text: str) -> str:
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def test_stock_classes_load_every_weight_and_no_other():
    model, info = LlavaForConditionalGeneration.from_pretrained(vtc_tiny.PATH, output_loading_info=True)  # pyright: ignore
    assert type(model) is LlavaForConditionalGeneration
    assert not any(info.values()), info
    assert type(AutoProcessor.from_pretrained(vtc_tiny.PATH)) is LlavaProcessor
    assert AutoConfig.from_pretrained(vtc_tiny.PATH).model_type == "llava"


def test_weights_have_their_published_names():
    with safe_open(vtc_tiny.PATH / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert {
        "vision_tower.vision_model.embeddings.class_embedding",
        "vision_tower.vision_model.embeddings.patch_embedding.weight",
        "vision_tower.vision_model.embeddings.position_embedding.weight",
        "vision_tower.vision_model.pre_layrnorm.weight",
        "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
        "vision_tower.vision_model.encoder.layers.6.mlp.fc2.bias",
        "vision_tower.vision_model.post_layernorm.weight",
        "multi_modal_projector.linear_1.weight",
        "multi_modal_projector.linear_2.bias",
        "language_model.model.embed_tokens.weight",
        "language_model.model.layers.0.self_attn.q_proj.weight",
        "language_model.model.norm.weight",
        "language_model.lm_head.weight",
    } <= names
    prefixes = ("vision_tower.vision_model.", "multi_modal_projector.", "language_model.")
    assert all(name.startswith(prefixes) for name in names)


def test_the_folder_is_small():
    assert sum(file.stat().st_size for file in vtc_tiny.PATH.rglob("*")) <= 6_000_000


def test_image_processor_is_that_of_clip():
    settings = json.loads((vtc_tiny.PATH / "processor_config.json").read_text())["image_processor"]
    assert settings["image_processor_type"] == CLIPImageProcessor.__name__.removesuffix("Pil")
    assert settings["size"] == {"shortest_edge": 96}
    assert settings["crop_size"] == {"height": 96, "width": 96}


def test_processor_gives_the_pixels_of_training(pair):
    scene = vtc_tiny.scene(3)
    pixels = pair[1](images=[scene.image], text="USER: <image>\n", return_tensors="pt").pixel_values
    torch.testing.assert_close(pixels, pixel_values([scene]))


def test_chat_template(pair):
    assert _prompt(pair[1], "where is the star ?") == "USER: <image>\nwhere is the star ? ASSISTANT:"
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "how many objects ?"}, {"type": "image"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "3"}]},
    ]
    assert pair[1].apply_chat_template(turns) == "USER: <image>\nhow many objects ? ASSISTANT: 3 "


def test_one_image_is_144_tokens(pair):
    inputs = pair[1](images=[vtc_tiny.scene(0).image], text="USER: <image>\n", return_tensors="pt")
    assert (inputs.input_ids == pair[0].config.image_token_id).sum() == 144


def test_tokenizer_knows_every_word_and_gives_it_back(pair):
    encode, decode = pair[1].tokenizer.encode, pair[1].tokenizer.decode
    texts = {t for seed in range(300) for q in vtc_tiny.questions(vtc_tiny.scene(seed)) for t in (q.text, q.answer)}
    for text in texts | {*COLORS, *SHAPES, *CELLS}:
        assert UNK not in encode(text)
        assert decode(encode(text), skip_special_tokens=True) == text
    assert UNK in encode("what flavour is the star ?")


def test_case_and_the_space_before_the_question_mark_do_not_matter(pair):
    encode = pair[1].tokenizer.encode
    assert encode("What color is the Star?") == encode("what color is the star ?")


@pytest.mark.parametrize("pictures", [40])
def test_answers_held_out_questions(pair, pictures):
    model, processor = pair
    right = []
    for seed in range(pictures):
        scene = vtc_tiny.scene(seed)
        asked = vtc_tiny.questions(scene)
        inputs = processor(
            images=[scene.image] * len(asked),
            text=[_prompt(processor, q.text) for q in asked],
            return_tensors="pt",
            padding=True,
        )
        said = model.generate(**inputs)[:, inputs.input_ids.shape[1] :]
        answers = processor.batch_decode(said, skip_special_tokens=True)
        right += [answer == q.answer for answer, q in zip(answers, asked, strict=True)]
    assert sum(right) / len(right) >= 0.95
