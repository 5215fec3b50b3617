"""A CLIP of both towers, as large as the towers of `families`, and its tokenizer of six words at a time."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from small_models import WORDS, clip_config
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from vtc_core.methods import METHODS
from vtc_llava import TextTower

LONGEST = 8  # tokens, with the beginning and the end


def save_clip(folder: Path) -> Path:
    torch.manual_seed(1)
    vision = clip_config().to_dict() | {"projection_dim": 12}
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": len(WORDS),
        "max_position_embeddings": LONGEST,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "projection_dim": 12,
    }
    model: Any = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).eval()
    with torch.no_grad():  # so that words and patches differ
        model.text_model.embeddings.token_embedding.weight.mul_(50)
        model.vision_model.post_layernorm.weight.uniform_(0.5, 2.0)
        model.vision_model.post_layernorm.bias.uniform_(-1.0, 1.0)
    model.save_pretrained(folder)
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    return folder


@cache
def text_tower() -> TextTower:
    with TemporaryDirectory() as folder:
        return TextTower.from_pretrained(str(save_clip(Path(folder))))


def needed(method: str) -> dict[str, Any]:
    """What `patch` has to be given for a method."""
    return {"text_tower": text_tower()} if "text_embeds" in METHODS[method].needs else {}
