"""A LLaVA-1.5 of any geometry with random weights, in the layout of the published llava-hf checkpoints."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    CLIPImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

from vtc_tiny.checkpoint import published

from .costs import Geometry
from .torch_encoder import clip_config

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
CHAT_TEMPLATE = """\
{%- for message in messages %}{% for content in message['content'] %}
{%- if content['type'] == 'image' %}{{ '<image>' }}{% else %}{{ ' ' + content['text'] }}{% endif %}
{%- endfor %}{% endfor %}"""


def write(g: Geometry, language: PreTrainedConfig, dtype: torch.dtype, folder: Path) -> None:
    """Configuration, weights and processor into a new `folder`. The same weights at every call."""
    folder.mkdir()
    config = LlavaConfig(
        vision_config=clip_config(g),
        text_config=language,
        image_token_index=SPECIAL.index("<image>"),
        image_seq_length=g.tokens,
        tie_word_embeddings=language.tie_word_embeddings,
    )
    torch.manual_seed(0)
    model: Any = LlavaForConditionalGeneration(config)
    model.to(dtype)
    model.config.architectures, model.config.dtype = ["LlavaForConditionalGeneration"], dtype
    model.config.save_pretrained(folder)
    weights = {published(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
    if language.tie_word_embeddings:
        del weights["language_model.lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    processor(g, language.vocab_size).save_pretrained(folder)


def processor(g: Geometry, words: int) -> LlavaProcessor:
    """Of a language of that many words, `w5` and up after the special ones: every token is one, and has a text.

    Its chat template adds no token of its own.
    """
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *(f"w{i}" for i in range(len(SPECIAL), words))))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    return LlavaProcessor(
        CLIPImageProcessorPil(
            size={"shortest_edge": g.image_size}, crop_size={"height": g.image_size, "width": g.image_size}
        ),
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="<pad>",
            bos_token="<s>",
            eos_token="</s>",
            unk_token="<unk>",
            extra_special_tokens={"image_token": "<image>"},
        ),
        patch_size=g.patch,
        num_additional_image_tokens=1,  # the [CLS] token
        vision_feature_select_strategy="default",
        image_token="<image>",
        chat_template=CHAT_TEMPLATE,
    )


def question(tokens: int) -> str:
    """That many of the language's words."""
    return " ".join(f"w{number}" for number in range(len(SPECIAL), len(SPECIAL) + tokens))
