"""What the layers from one stage to the next are given beside hidden states: masks, positions, rotations."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor
from transformers.cache_utils import Cache
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask

from .ragged import Hidden
from .shortened import Left

MASKS = {"full_attention": create_causal_mask, "sliding_attention": create_sliding_window_causal_mask}


class Segment:
    """Of the layers from `first` on, until the prompt gets shorter.

    Args:
        present: the mask of all tokens so far, those in the cache included; None where nothing is padding.
        log_sizes: of the same, what is added to the attention logits of a token.
        **known: what masks are made of beside.
    """

    def __init__(
        self,
        lm: Any,
        first: int,
        hidden: Hidden,
        positions: Int[Tensor, "#batch length"],
        cache: Any,
        present: Num[Tensor, "batch all"] | Bool[Tensor, "batch all"] | None,
        log_sizes: Float[Tensor, "batch all"] | None = None,
        **known: Any,
    ) -> None:
        self.positions = positions
        self.rotation = lm.rotary_emb(hidden, position_ids=positions)
        self._config = lm.config
        self._masks: dict[str, Any] = {}
        # A cache of these layers alone: those before them are longer, and masks are made for the first one there is.
        rest = cache.layers[first:] if cache is not None else []
        known = {"past_key_values": Cache(layers=rest) if rest else None, **known}
        self._make = partial(_mask, lm.config, hidden, present, log_sizes, known)

    def arguments(self, number: int) -> dict[str, Any]:
        """Of layer `number`."""
        kind = _kind(self._config, number)
        if kind not in self._masks:
            self._masks[kind] = self._make(MASKS[kind])
        return {
            "attention_mask": self._masks[kind],
            "position_ids": self.positions,
            "position_embeddings": self.rotation,
        }


def later(
    lm: Any, first: int, hidden: Hidden, positions: Tensor, cache: Any, mask: Tensor | None, left: Left
) -> Segment:
    """Of new tokens after a prompt that was shortened before layer `first`; `mask` is of the prompt, and theirs."""
    cached, (batch, new) = cache.layers[first].get_seq_length(), hidden.shape[:2]
    known = left.present[:, :cached]
    more = cached + new - known.shape[1]  # tokens since the prompt
    since = known.new_ones(batch, more) if mask is None else mask[:, mask.shape[1] - more :].to(known)
    sizes = left.log_sizes
    if sizes is not None:
        sizes = torch.cat([sizes[:, :cached], sizes.new_zeros(batch, more)], 1)
    present = torch.cat([known, since], 1)
    return Segment(lm, first, hidden, positions - left.shift[:, None], cache, present, sizes)


def _kind(config: Any, number: int) -> str:
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return kinds[number]
    return "full_attention" if getattr(config, "sliding_window", None) is None else "sliding_attention"


def _mask(
    config: Any, hidden: Hidden, present: Any, log_sizes: Tensor | None, known: dict[str, Any], make: Callable[..., Any]
) -> Tensor | None:
    """As the attention implementation wants it."""
    mask = make(config=config, inputs_embeds=hidden, attention_mask=present, **known)
    if log_sizes is None:
        return mask
    new, length = hidden.shape[1], log_sizes.shape[1]
    if mask is None:  # a plain causal one, which sdpa knows by itself
        mask = torch.ones(new, length, dtype=torch.bool, device=hidden.device).tril(length - new)
    if mask.dtype == torch.bool:
        mask = hidden.new_zeros(mask.shape).masked_fill(~mask, torch.finfo(hidden.dtype).min)
    return mask + log_sizes[:, None, None].to(mask)
