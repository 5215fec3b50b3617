"""A CLIP vision encoder that prunes on its way and costs less than the whole one: pixels in, `Pruned` out."""

from collections.abc import Sequence
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import eager_attention_forward

from vtc_core import checks, resolve_layers

from . import loading
from .verbs import Pruned, attend, gather, score, select


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
        tower: a `CLIPVisionModel`, or another model with its parts (see `loading.parts`).
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
        parts = loading.parts(tower)
        checks.budget(keep, parts.tokens)
        checks.reduction(reduce)
        self.layers = resolve_layers(layers, parts.depth, feature_layer)
        self.last = checks.last_layer(parts.depth, feature_layer)
        self.tokens = parts.tokens
        self.keep = int(keep)
        self.reduce = reduce
        self.tower = tower

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
        tower, own_layer = loading.tower_from_pretrained(path_or_hub_id, **model_kwargs)
        return cls(tower, keep, layers, reduce, own_layer if feature_layer is None else feature_layer)

    def forward(self, pixel_values: Float[Tensor, "batch channels height width"]) -> Pruned:
        """(batch channels height width) -> features (batch keep dim), indices (batch keep), scores (batch tokens)."""
        tower: Any = self.tower
        hidden = tower.pre_layrnorm(tower.embeddings(pixel_values))  # batch 1+tokens dim
        rows = []
        for number, layer in enumerate(tower.encoder.layers[: self.last]):
            if number in self.layers:
                hidden, row = _layer_and_row(layer, hidden)
                rows.append(row)
            else:
                hidden = layer(hidden, attention_mask=None)
        return self._last_layer(tower.encoder.layers[self.last], hidden, rows)

    def _last_layer(
        self, layer: Any, hidden: Float[Tensor, "batch length dim"], rows: list[Float[Tensor, "batch heads tokens"]]
    ) -> Pruned:
        """Scores are complete as soon as this layer has its keys; from there on only kept tokens are computed."""
        attention = layer.self_attn
        normed = layer.layer_norm1(hidden)
        keys, values = _heads(attention.k_proj(normed), attention), _heads(attention.v_proj(normed), attention)
        if self.last in self.layers:
            query = _heads(attention.q_proj(normed[:, :1]), attention)
            rows = [*rows, attend(query[:, :, 0], keys, attention.scale)]
        scores = score(torch.stack(rows), self.reduce)
        indices = select(scores, self.keep)
        with_cls = indices + 1  # CLS is token 0 of the encoder
        query = _heads(attention.q_proj(gather(normed, with_cls)), attention)
        features = gather(hidden, with_cls) + _attention_output(attention, query, keys, values)
        return Pruned(features + layer.mlp(layer.layer_norm2(features)), indices, scores)

    def extra_repr(self) -> str:
        return f"keep={self.keep} of {self.tokens}, layers={self.layers}, reduce={self.reduce!r}"


def _layer_and_row(
    layer: Any, hidden: Float[Tensor, "batch length dim"]
) -> tuple[Float[Tensor, "batch length dim"], Float[Tensor, "batch heads tokens"]]:
    """A whole encoder layer (`CLIPEncoderLayer.forward`), and its CLS row from the same queries and keys."""
    attention = layer.self_attn
    normed = layer.layer_norm1(hidden)
    query, keys, values = (
        _heads(project(normed), attention) for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    row = attend(query[:, :, 0], keys, attention.scale)
    hidden = hidden + _attention_output(attention, query, keys, values)
    return hidden + layer.mlp(layer.layer_norm2(hidden)), row


def _heads(x: Float[Tensor, "batch length dim"], attention: Any) -> Float[Tensor, "batch heads length head_dim"]:
    return x.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)


def _attention_output(
    attention: Any,
    query: Float[Tensor, "batch heads queries head_dim"],
    keys: Float[Tensor, "batch heads length head_dim"],
    values: Float[Tensor, "batch heads length head_dim"],
) -> Float[Tensor, "batch queries dim"]:
    """Attention by the model's own implementation, and the output projection."""
    implementation = ALL_ATTENTION_FUNCTIONS.get_interface(
        attention.config._attn_implementation, eager_attention_forward
    )
    dropout = attention.dropout if attention.training else 0.0
    out, _ = implementation(attention, query, keys, values, None, scaling=attention.scale, dropout=dropout)
    return attention.out_proj(out.flatten(2))  # out: batch queries heads head_dim
