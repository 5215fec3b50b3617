"""A vision encoder that prunes on its way and costs less than the whole one: pixels in, `Pruned` out."""

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from transformers import AutoConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import eager_attention_forward

from vtc_core import checks, resolve_layers

from . import loading, towers
from .received import received
from .verbs import Pruned, attend, gather, score, select


class PrunedEncoder(nn.Module):
    """The `keep` patch tokens of `hidden_states[feature_layer]` that attract most attention, for every picture.

    Wraps a live Hugging Face `CLIPVisionModel` or `SiglipVisionModel` and shares its weights, device, dtype and
    attention implementation (sdpa, eager, flash_attention_2, ...). With `signal="cls"`, the default, the method is
    VTC-CLS (arXiv 2412.05819, section 3), see `vtc_core.spec`: a patch scores the attention that CLS pays to it.
    `signal="received"` is another method, for towers without CLS: a patch scores the mean attention that all patches
    pay to it, see `vtc_torch.received`.

    Modifications to the wrapped encoder's forward pass, none of which changes a kept token:
    - in the K `layers` that are ensembled, one more row of attention is computed: (1 x 1+tokens) per head, in float32;
      with "received" all rows, a block at a time; no attention map is ever kept;
    - nothing after the last useful layer is run (LLaVA's feature layer -2 leaves out layer 23 of 24);
    - in the last useful layer keys and values are computed for all tokens, but queries, attention output and MLP for
      the kept tokens only. If that layer is ensembled, it needs the queries that ask as well: one with "cls", those of
      all patches with "received", which is then the price of (tokens x dim x dim) and no more.

    Args:
        tower: a `CLIPVisionModel` or `SiglipVisionModel`, or another model with CLIP's parts (see `towers`).
        keep: tokens kept, in [1, tokens].
        layers: K, the last K useful layers, or a sequence of layer numbers, as `vtc_core.resolve_layers` reads them.
        reduce: how scores of layers are put together: 'sum', 'mean', 'max' or 'min'.
        feature_layer: which hidden state the features are, as in `hidden_states[feature_layer]`. A sequence, as
            VipLLaVA's (-2, -5, -8, -11, 6), concatenates several along dim in that order, at the same kept indices; 0,
            the embeddings, may be among them. The latest is then the one that `layers` and cost are counted from.
        signal: whose attention scores the tokens, 'cls' or 'received'.

    Raises:
        ValueError, TypeError: an argument that does not fit this encoder; "cls" for an encoder without a CLS token.
    """

    def __init__(
        self,
        tower: nn.Module,
        keep: SupportsIndex = 64,
        layers: SupportsIndex | Sequence[SupportsIndex] = 3,
        reduce: str = "sum",
        feature_layer: int | Sequence[int] = -2,
        signal: str = "cls",
    ) -> None:
        super().__init__()
        tokens, depth = towers.size_of_tower(tower, signal)
        checks.encoder(tokens, depth, keep, layers, reduce, feature_layer, signal)
        self.feature_layers = checks.feature_layers(depth, feature_layer)  # numbers of hidden states
        self.layers = resolve_layers(layers, depth, max(self.feature_layers))
        self.last = max(self.feature_layers) - 1  # layer i makes hidden state i + 1
        self.tokens = tokens
        self.first = 1 if towers.has_cls(tower) else 0  # patch token
        self.keep = int(keep)
        self.reduce = reduce
        self.signal = signal
        self.tower = tower
        self.training = tower.training

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str,
        keep: SupportsIndex = 64,
        layers: SupportsIndex | Sequence[SupportsIndex] = 3,
        reduce: str = "sum",
        feature_layer: int | Sequence[int] | None = None,
        signal: str = "cls",
        **model_kwargs: Any,
    ) -> "PrunedEncoder":
        """Read the vision tower of a CLIP, SigLIP or LLaVA checkpoint in the Hugging Face layout, and nothing else.

        `feature_layer=None` takes the checkpoint's own `vision_feature_layer`, -2 where it has none (CLIP, SigLIP).
        `model_kwargs` go to transformers: `dtype`, `device_map`, `attn_implementation`, `revision`, ...

        Raises:
            OSError: no checkpoint there.
            ValueError: a checkpoint without a tower that can be pruned, or with tensors missing (they are named).
        """
        config = AutoConfig.from_pretrained(path_or_hub_id, **loading.hub_kwargs(model_kwargs))
        vision_config = loading.tower_config(config, path_or_hub_id, signal)
        made = loading.feature_layer(config) if feature_layer is None else feature_layer
        checks.encoder(*towers.size_of_config(vision_config), keep, layers, reduce, made, signal)
        tower = loading.read_tower(path_or_hub_id, vision_config, **model_kwargs)
        return cls(tower, keep, layers, reduce, made, signal)

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        choose: Callable[[Float[Tensor, "batch tokens"]], Integer[Tensor, "batch kept"]] | None = None,
    ) -> Pruned:
        """(batch channels height width) -> features (batch keep dim), indices (batch keep), scores (batch tokens).

        `choose` takes the place of `select(scores, keep)`, for those who choose over several tiles of a picture or over
        pooled tokens: scores (batch tokens) -> indices (batch kept), as many for each picture, in the order in which
        features are wanted; in [0, tokens), or -1 for CLS, where there is one (Video-LLaVA feeds it).
        """
        tower: Any = self.tower
        hidden = towers.embed(tower, pixel_values)  # batch first+tokens dim
        earlier = {0: hidden} if 0 in self.feature_layers else {}  # hidden states that are features too
        rows = []
        for number, layer in enumerate(tower.encoder.layers[: self.last]):
            normed = layer.layer_norm1(hidden)
            query, keys, values = _heads(layer.self_attn, normed, "q_proj", "k_proj", "v_proj")
            if number in self.layers:
                rows.append(self._attention(query[:, :, self._asking], keys, layer.self_attn.scale))
            mixed = _mix(layer.self_attn, query, keys, values)
            del normed, query, keys, values  # the MLP, where memory peaks, need not have them as well
            hidden = _rest_of_layer(layer, hidden, mixed)
            if number + 1 in self.feature_layers:
                earlier[number + 1] = hidden

        # The last useful layer: scores are complete as soon as it has its keys, and then only kept tokens go on.
        layer = tower.encoder.layers[self.last]
        normed = layer.layer_norm1(hidden)
        keys, values = _heads(layer.self_attn, normed, "k_proj", "v_proj")
        if self.last in self.layers:
            (query,) = _heads(layer.self_attn, normed[:, self._asking], "q_proj")
            rows.append(self._attention(query, keys, layer.self_attn.scale))
        scores = score(torch.stack(rows), self.reduce)
        indices = select(scores, self.keep) if choose is None else choose(scores)
        checks.chosen(indices)
        kept, kept_normed = (gather(x, indices + self.first) for x in (hidden, normed))
        (query,) = _heads(layer.self_attn, kept_normed, "q_proj")
        mixed = _mix(layer.self_attn, query, keys, values)
        kept = _rest_of_layer(layer, kept, mixed)
        if len(self.feature_layers) > 1:
            states = {n: gather(x, indices + self.first) for n, x in earlier.items()} | {self.last + 1: kept}
            kept = torch.cat([states[n] for n in self.feature_layers], -1)
        return Pruned(kept, indices.long(), scores)

    @property
    def _asking(self) -> slice:
        """The tokens whose attention scores the patches: CLS, or all patches."""
        return slice(0, 1) if self.signal == "cls" else slice(self.first, None)

    def _attention(
        self,
        query: Float[Tensor, "batch heads asking head_dim"],
        keys: Float[Tensor, "batch heads length head_dim"],
        scale: float,
    ) -> Float[Tensor, "batch heads tokens"]:
        """What the patches get from those that ask."""
        return attend(query[:, :, 0], keys, scale) if self.signal == "cls" else received(query, keys, scale)

    def extra_repr(self) -> str:
        return (
            f"keep={self.keep} of {self.tokens}, layers={self.layers}, reduce={self.reduce!r}, signal={self.signal!r}"
        )


def _heads(
    attention: Any, x: Float[Tensor, "batch length dim"], *projections: str
) -> list[Float[Tensor, "batch heads length head_dim"]]:
    projected = [getattr(attention, name)(x) for name in projections]
    return [y.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2) for y in projected]


def _mix(
    attention: Any,
    query: Float[Tensor, "batch heads queries head_dim"],
    keys: Float[Tensor, "batch heads length head_dim"],
    values: Float[Tensor, "batch heads length head_dim"],
) -> Float[Tensor, "batch queries dim"]:
    """`forward` of CLIP's and SigLIP's attention after its projections, by the model's own implementation."""
    if not query.shape[0]:  # which implementations refuse; `len` would make it a constant of exports
        return query.transpose(1, 2).flatten(2)
    implementation = ALL_ATTENTION_FUNCTIONS.get_interface(
        attention.config._attn_implementation, eager_attention_forward
    )
    dropout = attention.dropout if attention.training else 0.0
    mixed, _ = implementation(attention, query, keys, values, None, scaling=attention.scale, dropout=dropout)
    return attention.out_proj(mixed.flatten(2))  # mixed: batch queries heads head_dim


def _rest_of_layer(
    layer: Any, hidden: Float[Tensor, "batch queries dim"], mixed: Float[Tensor, "batch queries dim"]
) -> Float[Tensor, "batch queries dim"]:
    """`forward` of CLIP's and SigLIP's encoder layer after its attention, for all tokens or for the kept ones."""
    hidden = hidden + mixed
    return hidden + layer.mlp(layer.layer_norm2(hidden))
