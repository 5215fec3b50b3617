"""Tokens that are squares of patches, their features side by side: what InternVL's pixel shuffle feeds its projector.

A square is what competes, and its patches go through the last useful layer together.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from vtc_core.methods import Seen


def factor_of(config: Any) -> int:
    """Patches on the side of a square, of a whole model's configuration; 1 where a token is a patch."""
    ratio = getattr(config, "downsample_ratio", None)
    factor = round(1 / ratio) if isinstance(ratio, int | float) and 0 < ratio <= 1 else 1
    if ratio is not None and factor * ratio != 1:
        raise ValueError(f"downsample_ratio must be 1 over a whole number, got {ratio!r}")
    return factor


def count(patches: int, factor: int) -> int:
    """Tokens of a tile."""
    side = math.isqrt(patches)
    if side % factor:
        raise ValueError(f"a tile's side of {side} patches must be a multiple of {factor}, that of a shuffled token")
    return patches // factor**2


def squares(side: int, factor: int, device: torch.device | None = None) -> Int64[Tensor, "tokens patches"]:
    """The patches of each token, in the order in which transformers' `pixel_shuffle` puts them side by side."""
    numbers = torch.arange(side * side, device=device).view(side // factor, factor, side // factor, factor)
    return numbers.transpose(1, 2).reshape(-1, factor**2)


def seen_of(seen: Seen, factor: int) -> Seen:
    """What was seen of patches, of the tokens they make.

    Attention to a token is the sum of that to its patches, a logit the one that has this sum after a softmax; keys are
    the mean, which keeps their scale; features stand side by side.
    """
    side = math.isqrt(seen.tile.shape[1])
    of = squares(side, factor, seen.tile.device)

    def each(field: Any, join: Callable[[Tensor], Tensor]) -> Any:
        return None if field is None else join(field[:, of])  # batch tokens patches ...

    attention = {
        name: each(getattr(seen, name), lambda x: x.sum(2))
        for name in ("cls_attention", "joint_attention", "received_attention", "sink_attention")
    }
    return seen._replace(
        places=seen.places[:, of[:, 0]] // factor,
        tile=seen.tile[:, of[:, 0]],
        cls_logits=each(seen.cls_logits, lambda x: x.logsumexp(2)),
        keys=each(seen.keys, lambda x: x.mean(2)),
        features=each(seen.features, lambda x: x.flatten(2)),
        cls_feature=each(seen.cls_feature, lambda x: x.flatten(2)),
        **attention,
    )


def finish_of(
    finish: Callable[[Integer[Tensor, "batch patches"]], Float[Tensor, "batch patches dim"]],
    tokens: int,
    factor: int,
) -> Callable[[Integer[Tensor, "batch kept"]], Float[Tensor, "batch kept features"]]:
    """Of tokens, from the way to finish patches; -1 is CLS, as often as a token has patches."""

    def finish_tokens(indices: Integer[Tensor, "batch kept"]) -> Float[Tensor, "batch kept features"]:
        of = squares(factor * math.isqrt(tokens), factor, indices.device)
        patches = torch.where(indices[:, :, None] < 0, -1, of[indices.clamp(min=0)])
        return finish(patches.flatten(1)).unflatten(1, (-1, factor**2)).flatten(2)

    return finish_tokens
