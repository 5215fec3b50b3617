"""A CLIP vision encoder that prunes on its way and costs less than the whole one: pixels in, `Pruned` out."""

from collections.abc import Sequence
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import eager_attention_forward

from vtc_core import checks, resolve_layers

from . import loading
from .verbs import Pruned, attend, gather, prune, score, select


class PrunedEncoder(nn.Module):
    """The `keep` patch tokens of `hidden_states[feature_layer]` to which CLS attends most, for every picture.

    Wraps a live Hugging Face `CLIPVisionModel` and shares its weights, device, dtype and attention implementation
    (sdpa, eager, flash_attention_2, ...). The method is VTC-CLS (arXiv 2412.05819, section 3), see `vtc_core.spec`.

    Modifications to the wrapped encoder's forward pass, none of which changes a kept token:
    - in the K `layers` that are ensembled, one more row of attention is computed: (1 x 1+tokens) per head, in float32;
      no attention map is ever kept;
    - nothing after the last useful layer is run (LLaVA's feature layer -2 leaves out layer 23 of 24);
    - in the last useful layer keys and values are computed for all tokens, but queries, attention output and MLP for
      the kept tokens only.

    Args:
        tower: a `CLIPVisionModel`, or another model with its parts (see `loading.size_of_tower`).
        keep: tokens kept, in [1, tokens].
        layers: K, the last K useful layers, or a sequence of layer numbers, as `vtc_core.resolve_layers` reads them.
        reduce: how scores of layers are put together: 'sum', 'mean', 'max' or 'min'.
        feature_layer: which hidden state the features are, as in `hidden_states[feature_layer]`.

    Raises:
        ValueError, TypeError: an argument that does not fit this encoder, or an encoder without a CLS token.
    """

    def __init__(
        self,
        tower: nn.Module,
        keep: SupportsIndex = 64,
        layers: SupportsIndex | Sequence[SupportsIndex] = 3,
        reduce: str = "sum",
        feature_layer: int = -2,
    ) -> None:
        super().__init__()
        tokens, depth = loading.size_of_tower(tower)
        checks.encoder(tokens, depth, keep, layers, reduce, feature_layer)
        self.layers = resolve_layers(layers, depth, feature_layer)
        self.last = checks.last_layer(depth, feature_layer)
        self.tokens = tokens
        self.keep = int(keep)
        self.reduce = reduce
        self.tower = tower
        self.training = tower.training

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str,
        keep: SupportsIndex = 64,
        layers: SupportsIndex | Sequence[SupportsIndex] = 3,
        reduce: str = "sum",
        feature_layer: int | None = None,
        **model_kwargs: Any,
    ) -> "PrunedEncoder":
        """Read the vision tower of a CLIP or LLaVA checkpoint in the Hugging Face layout; a language model is not read.

        `feature_layer=None` takes the checkpoint's own `vision_feature_layer`, -2 where it has none (CLIP).
        `model_kwargs` go to transformers: `dtype`, `device_map`, `attn_implementation`, `revision`, ...

        Raises:
            OSError: no checkpoint there.
            ValueError: a checkpoint without a CLIP tower, or with tensors missing (they are named).
        """
        config = AutoConfig.from_pretrained(path_or_hub_id, **loading.hub_kwargs(model_kwargs))
        vision_config = loading.clip_config(config, path_or_hub_id)
        made = getattr(config, "vision_feature_layer", -2) if feature_layer is None else feature_layer
        checks.encoder(*loading.size_of_config(vision_config), keep, layers, reduce, made)
        return cls(loading.read_tower(path_or_hub_id, vision_config, **model_kwargs), keep, layers, reduce, made)

    def forward(self, pixel_values: Float[Tensor, "batch channels height width"]) -> Pruned:
        """(batch channels height width) -> features (batch keep dim), indices (batch keep), scores (batch tokens)."""
        tower: Any = self.tower
        hidden = tower.pre_layrnorm(tower.embeddings(pixel_values))  # batch 1+tokens dim
        if not len(hidden):  # which attention implementations refuse
            return prune(hidden[:, 1:], hidden.new_empty(1, 0, 1, self.tokens), self.keep, self.reduce)
        rows = []
        for number, layer in enumerate(tower.encoder.layers[: self.last]):
            normed = layer.layer_norm1(hidden)
            query, keys, values = (_heads(layer.self_attn, name, normed) for name in ("q_proj", "k_proj", "v_proj"))
            if number in self.layers:
                rows.append(attend(query[:, :, 0], keys, layer.self_attn.scale))
            hidden = _rest_of_layer(layer, hidden, query, keys, values)

        # The last useful layer: scores are complete as soon as it has its keys, and then only kept tokens go on.
        layer = tower.encoder.layers[self.last]
        normed = layer.layer_norm1(hidden)
        keys, values = (_heads(layer.self_attn, name, normed) for name in ("k_proj", "v_proj"))
        if self.last in self.layers:
            cls_query = _heads(layer.self_attn, "q_proj", normed[:, :1])
            rows.append(attend(cls_query[:, :, 0], keys, layer.self_attn.scale))
        scores = score(torch.stack(rows), self.reduce)
        indices = select(scores, self.keep)
        kept, kept_normed = (gather(x, indices + 1) for x in (hidden, normed))  # + 1: CLS is token 0 here
        query = _heads(layer.self_attn, "q_proj", kept_normed)
        return Pruned(_rest_of_layer(layer, kept, query, keys, values), indices, scores)

    def extra_repr(self) -> str:
        return f"keep={self.keep} of {self.tokens}, layers={self.layers}, reduce={self.reduce!r}"


def _heads(
    attention: Any, projection: str, x: Float[Tensor, "batch length dim"]
) -> Float[Tensor, "batch heads length head_dim"]:
    projected = getattr(attention, projection)(x)
    return projected.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)


def _rest_of_layer(
    layer: Any,
    hidden: Float[Tensor, "batch queries dim"],
    query: Float[Tensor, "batch heads queries head_dim"],
    keys: Float[Tensor, "batch heads length head_dim"],
    values: Float[Tensor, "batch heads length head_dim"],
) -> Float[Tensor, "batch queries dim"]:
    """`CLIPEncoderLayer.forward` after its projections, for the tokens that ask: all of them, or the kept ones.

    Attention is computed by the model's own implementation.
    """
    attention = layer.self_attn
    implementation = ALL_ATTENTION_FUNCTIONS.get_interface(
        attention.config._attn_implementation, eager_attention_forward
    )
    dropout = attention.dropout if attention.training else 0.0
    mixed, _ = implementation(attention, query, keys, values, None, scaling=attention.scale, dropout=dropout)
    hidden = hidden + attention.out_proj(mixed.flatten(2))  # mixed: batch queries heads head_dim
    return hidden + layer.mlp(layer.layer_norm2(hidden))
