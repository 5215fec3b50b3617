"""A language model of the Llama form, as slow and plain as it gets: one row, no cache, and nothing is ever dropped.

Tokens that a stage drops stay, and are masked; so nothing here depends on padding, on the lengths of caches, or on how
what is left is put together.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Cut(NamedTuple):
    """Before a layer: of scores of visual tokens (from the attention of the last one of the prompt), which are left."""

    choose: Callable[[Tensor], Tensor]  # (tokens) -> (kept) indices
    ahead: bool = False
    renumbers: bool = False
    pairs: bool = False  # those left are means of themselves and the next visual token, which count double


def topmost(count: int) -> Callable[[Tensor], Tensor]:
    return lambda scores: scores.topk(count).indices.sort().values


def logits(model: Any, embeds: Tensor, visual: Tensor, prompt: int, cuts: dict[int, Cut]) -> tuple[Tensor, Tensor]:
    """(length vocabulary) of all tokens of a row, the first `prompt` of which are its prompt; and which are left."""
    lm = model.model.language_model
    hidden, there = embeds, torch.ones(len(embeds), dtype=torch.bool)
    positions, sizes = torch.arange(len(embeds)), torch.ones(len(embeds))
    attention: Any = None
    for number, layer in enumerate(lm.layers):
        if number in cuts:
            cut = cuts[number]
            if cut.ahead:
                attention = _layer(lm, layer, hidden, there, positions, sizes)[1]
            candidates = (visual & there).nonzero()[:, 0]
            kept = candidates[cut.choose(attention[:, prompt - 1, candidates].mean(0))]
            if cut.pairs:
                following = candidates[(torch.searchsorted(candidates, kept) + 1) % len(candidates)]
                hidden = hidden.index_put((kept,), (hidden[kept] + hidden[following]) / 2)
                sizes = sizes.index_put((kept,), torch.tensor(2.0))
            there = there & ~visual
            there[kept] = True
            if cut.renumbers:
                positions = there.cumsum(0) - 1
        hidden, attention = _layer(lm, layer, hidden, there, positions, sizes)
    return model.lm_head(_norm(lm.norm, hidden)), there


def _layer(
    lm: Any, layer: Any, hidden: Tensor, there: Tensor, positions: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor]:
    attention = layer.self_attn
    normed = _norm(layer.input_layernorm, hidden)
    dim = attention.head_dim
    query, keys, values = (
        project(normed).view(len(hidden), -1, dim).transpose(0, 1)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    groups = len(query) // len(keys)
    theta = lm.config.rope_parameters["rope_theta"]
    query, keys = _rotate(query, positions, theta), _rotate(keys, positions, theta)
    keys, values = keys.repeat_interleave(groups, 0), values.repeat_interleave(groups, 0)
    causal = torch.ones(len(hidden), len(hidden), dtype=torch.bool).tril() & there
    scores = query @ keys.transpose(1, 2) / dim**0.5 + sizes.log()
    weights = scores.masked_fill(~(causal | torch.eye(len(hidden), dtype=torch.bool)), -torch.inf).softmax(-1)
    hidden = hidden + attention.o_proj((weights @ values).transpose(0, 1).flatten(1))
    mlp, normed = layer.mlp, _norm(layer.post_attention_layernorm, hidden)
    return hidden + mlp.down_proj(torch.nn.functional.silu(mlp.gate_proj(normed)) * mlp.up_proj(normed)), weights


def _norm(norm: Any, x: Tensor) -> Tensor:
    return norm.weight * x / (x.square().mean(-1, keepdim=True) + norm.variance_epsilon).sqrt()


def _rotate(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    half = x.shape[-1] // 2
    angles = positions[:, None] * theta ** (-torch.arange(half) / half)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], -1)
