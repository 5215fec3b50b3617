"""The parts of a tower's layers, whatever the tower calls them: those of CLIP and SigLIP, and those of InternViT.

A layer is x + s * attention(norm(x)), then + s * mlp(norm(x)); the scales s are InternViT's alone, as are norms of
queries and keys, which are taken of all heads together.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import eager_attention_forward as clip_eager
from transformers.models.internvl.modeling_internvl import eager_attention_forward as internvl_eager

Hidden = Float[Tensor, "batch length dim"]
Heads = Float[Tensor, "batch heads length head_dim"]

QUERY, KEYS, VALUES = "q", "k", "v"


def layers_of(tower: Any) -> nn.ModuleList:
    return tower.encoder.layer if hasattr(tower.encoder, "layer") else tower.encoder.layers


def call(layer: Any, hidden: Hidden, mask: Any = None) -> Hidden:
    """A whole layer, as a module; InternViT's takes no mask. Stock layers refuse a batch of no pictures: it stays."""
    if not hidden.shape[0]:
        return hidden
    return layer(hidden) if _is_internvl(layer) else layer(hidden, mask)


def attention_of(layer: Any) -> Any:
    return layer.attention if _is_internvl(layer) else layer.self_attn


def normed(layer: Any, hidden: Hidden) -> Hidden:
    """What attention is given."""
    return layer.layernorm_before(hidden) if _is_internvl(layer) else layer.layer_norm1(hidden)


def projections(attention: Any, part: str) -> list[Any]:
    """The modules, one after the other, that make `QUERY`, `KEYS` or `VALUES`."""
    linear, norm = getattr(attention, f"{part}_proj"), getattr(attention, f"{part}_norm", None)
    return [linear] if norm is None else [linear, norm]


def project(attention: Any, part: str, x: Hidden) -> Heads:
    for module in projections(attention, part):
        x = module(x)
    return heads(attention, x)


def heads(attention: Any, x: Hidden) -> Heads:
    return x.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)


def finished(
    layer: Any,
    hidden: Float[Tensor, "batch queries dim"],
    query: Float[Tensor, "batch heads queries head_dim"],
    keys: Heads,
    values: Heads,
) -> Float[Tensor, "batch queries dim"]:
    """What a layer makes of the tokens whose queries these are, and what came into it of them."""
    attention = attention_of(layer)
    mixed = _mix(attention, query, keys, values)
    if _is_internvl(layer):
        hidden = layer.lambda_1 * attention.projection_dropout(attention.projection_layer(mixed)) + hidden
        return layer.lambda_2 * layer.dropout(layer.mlp(layer.layernorm_after(hidden))) + hidden
    hidden = hidden + attention.out_proj(mixed)
    return hidden + layer.mlp(layer.layer_norm2(hidden))


def _mix(
    attention: Any, query: Float[Tensor, "batch heads queries head_dim"], keys: Heads, values: Heads
) -> Float[Tensor, "batch queries dim"]:
    """Attention between its projections, by the model's own implementation."""
    if not query.shape[0]:  # which implementations refuse; `len` would make it a constant of exports
        return query.transpose(1, 2).flatten(2)
    of_internvl = hasattr(attention, "attention_dropout")
    implementation = ALL_ATTENTION_FUNCTIONS.get_interface(
        attention.config._attn_implementation, internvl_eager if of_internvl else clip_eager
    )
    rate = attention.attention_dropout if of_internvl else attention.dropout
    dropout = rate if attention.training else 0.0
    mixed, _ = implementation(attention, query, keys, values, None, scaling=attention.scale, dropout=dropout)
    return mixed.flatten(2)  # of batch queries heads head_dim


def _is_internvl(layer: Any) -> bool:
    return hasattr(layer, "lambda_1")
