"""What a patch saves in the language model: estimated from configurations, nothing is run."""

from typing import Any, NamedTuple

import torch

from vtc_torch import PrunedEncoder

from .budget import Budget, fed
from .geometry import Layout


class Description(NamedTuple):
    """A patch, and what one picture or video costs the language model with and without it. `str` makes lines of it."""

    family: str
    tower: str
    layers: tuple[int, ...]  # of the tower, ensembled
    reduce: str
    signal: str
    budget: Budget
    tokens_before: int
    tokens_after: int
    flops_before: int  # of the language model's prefill
    flops_after: int
    cache_before: int  # bytes
    cache_after: int

    def __str__(self) -> str:
        return "\n".join(
            (
                f"family        {self.family}",
                f"tower         {self.tower}",
                f"scored by     layers {self.layers}, reduce={self.reduce!r}, signal={self.signal!r}",
                f"tokens        {self.tokens_before} -> {self.tokens_after} ({self.budget})",
                f"prefill       {_short(self.flops_before)} -> {_short(self.flops_after)} FLOPs "
                f"({_short(self.flops_before - self.flops_after)} saved)",
                f"KV cache      {_short(self.cache_before)} -> {_short(self.cache_after)} bytes "
                f"({_short(self.cache_before - self.cache_after)} saved)",
            )
        )


def describe(config: Any, dtype: torch.dtype, layout: Layout, budget: Budget, encoder: PrunedEncoder) -> Description:
    """The costs of one picture or video, `layout`, in a model of this configuration and dtype.

    For n visual tokens, without the text around them, in a decoder of L layers with hidden size D, intermediate size M,
    H heads and G key-value heads of size d:

        FLOPs = L * (2 n (2 D H d + 2 D G d + 3 D M) + 2 n (n + 1) H d)     projections and gated MLP; causal attention
        bytes = 2 L G d n * (bytes of a number)                             keys and values

    A multiply-add is two FLOPs; softmax, norms and the vocabulary's projection are left out. Attention between visual
    tokens and a text of t tokens is left out too: 4 n t H d a layer more before, and after.
    """
    text = config.get_text_config()
    heads = text.num_attention_heads
    groups = getattr(text, "num_key_value_heads", None) or heads
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // heads
    width = 2 * text.hidden_size * (heads + groups) * head_dim + 3 * text.hidden_size * text.intermediate_size

    def flops(n: int) -> int:
        return text.num_hidden_layers * (2 * n * width + 2 * n * (n + 1) * heads * head_dim)

    def cache(n: int) -> int:
        return 2 * text.num_hidden_layers * groups * head_dim * n * dtype.itemsize

    before, after = len(layout.tile), fed(layout, budget)
    tower = config.vision_config
    return Description(
        family=config.model_type,
        tower=f"{tower.model_type}, {tower.num_hidden_layers} layers, {encoder.tokens} patch tokens a tile",
        layers=encoder.layers,
        reduce=encoder.reduce,
        signal=encoder.signal,
        budget=budget,
        tokens_before=before,
        tokens_after=after,
        flops_before=flops(before),
        flops_after=flops(after),
        cache_before=cache(before),
        cache_after=cache(after),
    )


def _short(number: int) -> str:
    """Three digits and an SI prefix."""
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}"
    return str(number)
