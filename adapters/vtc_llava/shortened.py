"""Cache layers of a prompt that was shortened on the way: which of their entries are tokens, and at which positions.

All layers from a stage to the next have the same; the first of them holds it, so that whatever moves rows of a cache
about (beams, batches, copies) moves it along.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer


class Left(NamedTuple):
    """What is left of the prompts of a batch."""

    present: Bool[Tensor, "batch length"]  # False: padding
    shift: Int[Tensor, "batch"]  # how much lower positions are than those that the model is given
    log_sizes: Float[Tensor, "batch length"] | None = None  # added to the attention logits of a mixture of so many

    def rows(self, numbers: Tensor) -> "Left":
        numbers = numbers.to(self.shift.device)
        sizes = None if self.log_sizes is None else self.log_sizes[numbers]
        return Left(self.present[numbers], self.shift[numbers], sizes)


class Shortened:
    """Mixed into a cache layer of transformers."""

    left: Left

    def reorder_cache(self, beam_idx: Tensor) -> None:
        super().reorder_cache(beam_idx)  # type: ignore[misc]
        self.left = self.left.rows(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)  # type: ignore[misc]
        self.left = self.left.rows(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)  # type: ignore[misc]
        self.left = self.left.rows(torch.arange(len(self.left.shift)).repeat_interleave(repeats))


class ShortenedLayer(Shortened, DynamicLayer):
    """Of full attention."""


class ShortenedSlidingLayer(Shortened, DynamicSlidingWindowLayer):
    """Of a window, which counts the tokens that are left."""


def check(cache: Any) -> None:
    """A ValueError for a cache whose layers cannot be shortened."""
    kinds = {type(layer).__name__ for layer in cache.layers} - {
        kind.__name__ for kind in (DynamicLayer, DynamicSlidingWindowLayer, ShortenedLayer, ShortenedSlidingLayer)
    }
    if kinds:
        raise ValueError(
            f"stages shorten the prompt from layer to layer, which takes a cache that grows (DynamicCache), "
            f"got {type(cache).__name__} of {', '.join(sorted(kinds))}"
        )


def shorten(cache: Any, number: int, left: Left) -> None:
    """Have layer `number` of a cache, still empty, hold `left`."""
    while len(cache.layers) <= number:
        cache.layers.append(cache.layer_class_to_replicate())
    window = getattr(cache.layers[number], "sliding_window", None)
    cache.layers[number] = ShortenedLayer() if window is None else ShortenedSlidingLayer(sliding_window=window)
    cache.layers[number].left = left


def left_of(cache: Any, number: int) -> Left | None:
    """What layer `number` holds, if a prompt was shortened before it."""
    layer = cache.layers[number] if cache is not None and number < len(cache.layers) else None
    return layer.left if isinstance(layer, Shortened) and layer.get_seq_length() else None  # type: ignore[attr-defined]


def is_shortened(cache: Any) -> bool:
    """Whether any layer is."""
    return isinstance(cache, Cache) and any(left_of(cache, number) is not None for number in range(len(cache.layers)))
