"""The other two files of an onnx-community folder: a LLaVA's language model, which pruning does not change."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from . import tracing

MOST = 1536 * 2**20  # bytes of weights in one file: torch's exporter puts more of them beside it


class EmbedTokens(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.embed = model.get_input_embeddings()

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.embed(input_ids)


class Decoder(nn.Module):
    """transformers' own language model with the cache as tensors; an empty one (past = 0) is the prefill."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.head = model.model.language_model, model.lm_head
        self.model.set_attn_implementation("eager")

    def forward(
        self, inputs_embeds: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, ...]:
        length, total = inputs_embeds.shape[1], attention_mask.shape[1]
        row = torch.arange(length)[:, None] + (total - length)
        seen = (torch.arange(total) <= row) & (attention_mask[:, None, None] > 0)  # batch 1 length total
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
        cache = DynamicCache(past)
        hidden = self.model(
            inputs_embeds=inputs_embeds, attention_mask=mask, position_ids=position_ids, past_key_values=cache
        ).last_hidden_state
        layers: Any = cache.layers
        return self.head(hidden), *(state for layer in layers for state in (layer.keys, layer.values))


@torch.inference_mode()
def export_language_model(model: Any, folder: Path) -> None:
    """Write `embed_tokens.onnx` and `decoder_model_merged.onnx`, float32, as transformers.js feeds and reads them.

    Args:
        model: a `LlavaForConditionalGeneration` in float32 whose language model has at most `MOST` bytes, and full
            attention in all layers. It is left with eager attention.
        folder: it exists.
    """
    text = model.config.text_config
    # transformers.js makes the first, empty cache from the names of its axes: batch_size is one, and all others are 0.
    batch, length, past, total = (torch.export.Dim(name) for name in ("batch_size", "length", "past", "total"))
    ids = torch.zeros(2, 3, dtype=torch.int64)
    layers = range(text.num_hidden_layers)
    heads, head_dim = text.num_key_value_heads, text.hidden_size // text.num_attention_heads
    # Each a tensor of its own: the exporter takes one that comes twice for one input.
    state = [tuple(torch.zeros(2, heads, 4, getattr(text, "head_dim", head_dim)) for _ in range(2)) for _ in layers]
    names = [f"{i}.{part}" for i in layers for part in ("key", "value")]
    options: dict[str, Any] = {"dynamo": True, "external_data": False, "verbose": False}
    with tracing.quiet():
        torch.onnx.export(
            EmbedTokens(model),
            (ids,),
            folder / "embed_tokens.onnx",
            input_names=["input_ids"],
            output_names=["inputs_embeds"],
            dynamic_shapes=({0: batch, 1: length},),
            **options,
        )
        torch.onnx.export(
            Decoder(model).eval(),
            (torch.zeros(2, 3, text.hidden_size), ids.new_ones(2, 7), ids, state),
            folder / "decoder_model_merged.onnx",
            input_names=["inputs_embeds", "attention_mask", "position_ids", *(f"past_key_values.{n}" for n in names)],
            output_names=["logits", *(f"present.{n}" for n in names)],
            dynamic_shapes=(
                {0: batch, 1: length},
                {0: batch, 1: total},
                {0: batch, 1: length},
                [({0: batch, 2: past}, {0: batch, 2: past}) for _ in layers],
            ),
            **options,
        )
