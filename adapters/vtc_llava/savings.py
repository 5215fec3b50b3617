"""What a patch saves in the language model: estimated from configurations, nothing is run."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import torch

from vtc_core.methods import Method, spelled
from vtc_core.stages import Stage, checked_schedule
from vtc_torch.towers import size_of_config

from .budget import Budget, num_visual_tokens
from .geometry import Layout
from .settings import Settings


class Description(NamedTuple):
    """A patch, and what one picture or video costs the language model with and without it. `str` makes lines of it."""

    family: str
    tower: str
    method: Method
    layers: tuple[int, ...]  # of the tower, that the method looks at
    budget: Budget
    tokens_before: int
    tokens_after: int
    flops_before: int  # of the language model's prefill
    flops_after: int
    cache_before: int  # bytes
    cache_after: int
    tokens_by_layer: tuple[int, ...]  # of the language model, after; at most, where that depends on the picture
    stages: tuple[Stage, ...] = ()

    def __str__(self) -> str:
        return "\n".join(f"{name:<14}{value}" for name, value in self._lines().items())

    def _repr_html_(self) -> str:
        """For notebooks."""
        return html_table(self._lines())

    def _lines(self) -> dict[str, str]:
        def saved(before: int, after: int, unit: str) -> str:
            return f"{_short(before)} -> {_short(after)} {unit} ({_short(before - after)} saved)"

        return {
            "family": self.family,
            "tower": self.tower,
            "method": spelled(self.method) + (f", layers {self.layers}" if self.layers else ""),
            "tokens": f"{self.tokens_before} -> {self.tokens_after} ({self.budget})",
            **({"stages": f"{self.left} ({' '.join(map(spelled, self.stages))})"} if self.stages else {}),
            "prefill": saved(self.flops_before, self.flops_after, "FLOPs"),
            "KV cache": saved(self.cache_before, self.cache_after, "bytes"),
        }

    @property
    def left(self) -> str:
        """What stages leave of the visual tokens, in words."""
        by_layer = self.tokens_by_layer
        cuts = [number for number in range(1, len(by_layer)) if by_layer[number] < by_layer[number - 1]]
        return ", ".join(f"{by_layer[number]} from layer {number} on" for number in cuts) or "all stay"


def html_table(lines: dict[str, str]) -> str:
    """Two columns: names and values."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in lines.items())
    return f"<table>{rows}</table>"


class Decoder(NamedTuple):
    """The sizes of a language model (Llama, Mistral, Qwen2) that its cost depends on."""

    layers: int
    dim: int
    mlp: int
    heads: int
    groups: int  # key-value heads
    head_dim: int

    def flops(self, length: int) -> int:
        """Of the prefill of `length` tokens, logits apart; `describe` has the formula."""
        width = 2 * self.dim * (self.heads + self.groups) * self.head_dim + 3 * self.dim * self.mlp
        return self.layers * (2 * length * width + 2 * length * (length + 1) * self.heads * self.head_dim)

    def cached(self, length: int) -> int:
        """Numbers that the KV cache holds."""
        return 2 * self.layers * self.groups * self.head_dim * length


def decoder(text_config: Any) -> Decoder:
    """The sizes in a language model's configuration (transformers' attribute names)."""
    heads = text_config.num_attention_heads
    return Decoder(
        text_config.num_hidden_layers,
        text_config.hidden_size,
        text_config.intermediate_size,
        heads,
        getattr(text_config, "num_key_value_heads", None) or heads,
        getattr(text_config, "head_dim", None) or text_config.hidden_size // heads,
    )


def describe(
    config: Any, dtype: torch.dtype, layout: Layout, settings: Settings, layers: tuple[int, ...]
) -> Description:
    """The costs of one picture or video, `layout`, in a model of this configuration and dtype.

    For n visual tokens, without the text around them, in a decoder of L layers with hidden size D, intermediate size M,
    H heads and G key-value heads of size d:

        FLOPs = L * (2 n (2 D H d + 2 D G d + 3 D M) + 2 n (n + 1) H d)     projections and gated MLP; causal attention
        bytes = 2 L G d n * (bytes of a number)                             keys and values

    With stages, the sum over layers of as many tokens as are left there; what a stage itself computes is left out. A
    multiply-add is two FLOPs; softmax, norms and the vocabulary's projection are left out. Attention between visual
    tokens and a text of t tokens is left out too: 4 n t H d a layer more before, and after.
    """
    language = decoder(config.get_text_config())
    before, after = len(layout.tile), num_visual_tokens(layout, settings.budget)
    by_layer = tokens_by_layer(settings.stages, language.layers, after)
    of_layer = language._replace(layers=1)
    tower = config.vision_config
    tokens = size_of_config(tower).tokens
    return Description(
        family=config.model_type,
        tower=f"{tower.model_type}, {tower.num_hidden_layers} layers, {tokens} patch tokens a tile",
        method=settings.method,
        layers=layers,
        budget=settings.budget,
        tokens_before=before,
        tokens_after=after,
        flops_before=language.flops(before),
        flops_after=sum(map(of_layer.flops, by_layer)),
        cache_before=language.cached(before) * dtype.itemsize,
        cache_after=sum(map(of_layer.cached, by_layer)) * dtype.itemsize,
        tokens_by_layer=by_layer,
        stages=settings.stages,
    )


def tokens_by_layer(stages: Sequence[Stage], depth: int, tokens: int) -> tuple[int, ...]:
    """Visual tokens in each of `depth` layers, of `tokens` that enter."""
    lengths = [tokens] * depth
    for cut in checked_schedule(stages, depth, tokens):
        lengths[cut.layer :] = [cut.kept] * (depth - cut.layer)
    return tuple(lengths)


def _short(number: int) -> str:
    """Three digits and an SI prefix."""
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}"
    return str(number)
