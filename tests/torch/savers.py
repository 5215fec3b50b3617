"""Checkpoints of a tower in every layout in which one is found: each saver takes a tower and a folder."""

import json

from safetensors.torch import load_file, save_file
from small_models import WORDS, make_llava
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionModelWithProjection,
    LlamaConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    SiglipConfig,
    SiglipModel,
)


def save_llava(tower, folder, **settings):
    model = make_llava(vision_config=tower.config, **settings)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.save_pretrained(folder)


def rename(folder, old, new):
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {k.replace(old, new): v for k, v in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"}
    )


def save_vision(tower, folder):
    tower.save_pretrained(folder)


def save_vision_old(tower, folder):
    tower.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    save_file({f"vision_model.{k}": v for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


TEXT = {"intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9,
        "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip


def save_with_words(model_class, config_class, tower, folder, **text):
    """The tower beside one of text, as CLIP is published."""
    model = model_class(config_class(text_config=TEXT | text, vision_config=tower.config.to_dict()))
    model.vision_model.load_state_dict(tower.state_dict())
    model.save_pretrained(folder)


def save_clip(tower, folder):
    save_with_words(CLIPModel, CLIPConfig, tower, folder, hidden_size=16, pad_token_id=0)


def save_clip_with_projection(tower, folder):
    model = CLIPVisionModelWithProjection(tower.config)
    model.vision_model.load_state_dict(tower.state_dict())
    model.save_pretrained(folder)


def save_llava_published(tower, folder):
    save_llava(tower, folder)
    rename(folder, "vision_tower.", "vision_tower.vision_model.")


def save_llava_sharded(tower, folder):
    save_llava_published(tower, folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    index = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"model-{number:05}-of-00002.safetensors"
        save_file({k: tensors[k] for k in part}, folder / shard, {"format": "pt"})
        index.update(dict.fromkeys(part, shard))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


SAVERS = [
    save_vision,
    save_vision_old,
    save_clip,
    save_clip_with_projection,
    save_llava,
    save_llava_published,
    save_llava_sharded,
]


def save_siglip(tower, folder):
    save_with_words(SiglipModel, SiglipConfig, tower, folder, hidden_size=32, projection_size=32)


def save_siglip_llava(tower, folder):
    """As LLaVAs are published: without the pooling head, although the config may promise one."""
    save_llava(tower, folder, vision_feature_layer=-2, vision_feature_select_strategy="full")
    tensors = load_file(folder / "model.safetensors")
    tensors = {k: v for k, v in tensors.items() if "vision_tower.head." not in k}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def save_siglip_llava_published(tower, folder):
    save_siglip_llava(tower, folder)
    rename(folder, "vision_tower.", "vision_tower.vision_model.")


def save_family(model_class, config_class, tower, folder):
    text = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=len(WORDS)
    )
    model = model_class(config_class(vision_config=tower.config, text_config=text))
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.save_pretrained(folder)


def save_onevision(tower, folder):
    save_family(LlavaOnevisionForConditionalGeneration, LlavaOnevisionConfig, tower, folder)


SIGLIP_SAVERS = [
    (save_vision, -2),
    (save_vision_old, -2),
    (save_siglip, -2),
    (save_siglip_llava, -2),
    (save_siglip_llava_published, -2),
    (save_onevision, -1),
]
