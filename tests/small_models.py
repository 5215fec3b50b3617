"""Models small enough for a test, with seeded random weights and attention sharp enough that scores do not tie."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from small_internvl import sharpen_internvl
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    SiglipVisionModel,
)

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
WORDS = [*SPECIAL, "USER:", "ASSISTANT:", "what", "color", "is", "star", "red", "blue", "how", "many", "?", "yes", "no"]


def clip_config(depth=5, dim=32, heads=4, grid=6, activation="quick_gelu") -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=dim,
        intermediate_size=2 * dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        image_size=4 * grid,
        patch_size=4,
        hidden_act=activation,
    )


def siglip_config(depth=2, dim=16, heads=2, grid=6) -> SiglipVisionConfig:
    """A tower without CLS."""
    return SiglipVisionConfig(
        hidden_size=dim,
        intermediate_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        image_size=4 * grid,
        patch_size=4,
    )


def make_tower(attention="sdpa", **geometry: Any) -> CLIPVisionModel:
    """A CLIP tower of `grid` x `grid` patches in eval mode."""
    torch.manual_seed(0)
    tower = CLIPVisionModel._from_config(clip_config(**geometry), attn_implementation=attention).eval()
    return sharpen(tower)


def make_siglip(attention="sdpa", depth=4, dim=32, heads=4, grid=6) -> SiglipVisionModel:
    """A SigLIP tower of `grid` x `grid` patches in eval mode."""
    torch.manual_seed(0)
    config = siglip_config(depth, dim, heads, grid)
    return sharpen_siglip(SiglipVisionModel._from_config(config, attn_implementation=attention).eval())


def sharpen_siglip(tower: SiglipVisionModel) -> SiglipVisionModel:
    with torch.no_grad():  # so that pictures differ in what they make of a patch
        tower.embeddings.patch_embedding.weight.mul_(5)
        layers: Any = tower.encoder.layers
        for layer in layers:
            layer.self_attn.q_proj.weight.mul_(3)
    return tower


def sharpen(tower: CLIPVisionModel) -> CLIPVisionModel:
    with torch.no_grad():
        tower.embeddings.position_embedding.weight.mul_(25)
        layers: Any = tower.encoder.layers
        for layer in layers:
            layer.self_attn.q_proj.weight.mul_(8)
            layer.self_attn.k_proj.weight.mul_(8)
    return tower


def pixels(tower: Any, batch: int = 2) -> torch.Tensor:
    side = tower.config.image_size
    side = side if isinstance(side, int) else side[0]
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(batch))


def text_config(kind: type = LlamaConfig, vocab_size: int = len(WORDS), depth: int = 2, **settings: Any) -> Any:
    """Of a language model of `depth` layers."""
    return kind(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=depth,
        num_attention_heads=4,
        vocab_size=vocab_size,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **settings,
    )


SHARPEN: Any = {
    "clip_vision_model": sharpen,
    "siglip_vision_model": sharpen_siglip,
    "internvl_vision": sharpen_internvl,
}


def make_llava(
    model_class: Any = LlavaForConditionalGeneration, config_class: Any = LlavaConfig, **settings: Any
) -> Any:
    """A LLaVA of 36 patch tokens a tile, with a Llama of two layers; `settings` go to the configuration."""
    torch.manual_seed(0)
    settings = {
        "vision_config": clip_config(),
        "text_config": text_config(),
        "image_token_index": WORDS.index("<image>"),
        **settings,
    }
    model = model_class(config_class(**settings)).eval()
    model.generation_config.pad_token_id = 0
    with torch.no_grad():  # so that answers depend on the picture
        model.lm_head.weight.mul_(25)
        model.model.language_model.embed_tokens.weight.mul_(25)
        model.model.multi_modal_projector.linear_2.weight.mul_(25)
        if hasattr(model.model, "image_newline"):
            model.model.image_newline.mul_(25)
    towers = (getattr(model.model, f"{what}_tower", None) for what in ("vision", "image", "video"))
    for tower in filter(None, towers):
        SHARPEN[tower.config.model_type](tower)
    return model


def make_processor() -> LlavaProcessor:
    """The processor of `make_llava`: words, left padding, pictures to 24 x 24."""
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
        padding_side="left",
    )
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
    return LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def picture(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def save_llava(folder: Path) -> Path:
    """A checkpoint of `make_llava` and its processor: 24 x 24 pictures, 6 x 6 patches, no chat template."""
    make_llava().save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return folder


same = partial(torch.testing.assert_close, rtol=0, atol=0)  # equal to the bit
