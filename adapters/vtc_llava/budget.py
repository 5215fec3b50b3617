"""How many of a picture's or a video's tokens are fed, and which of them compete for a place: integers, no model."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from vtc_core import arguments, checks

from .geometry import ALWAYS, Layout


class Budget(NamedTuple):
    """Exactly one of the two is a number.

    keep: of every tile or frame `min(keep, its tokens)` are kept, the highest scores of that tile. In a tile of a
        picture only tokens that survive un-padding compete.
    total: of every picture or video at most `total` are kept, and exactly that many where there are so many. A base
        tile gets its part of them, rounded down, at least one: `max(1, total * its tokens // all tokens)`; the rest
        goes to the highest scores of all other tiles together. Of a video, to the highest of all frames together; where
        text stands between frames (InternVL), each has the same part, to one token.

    Row newlines are dropped, unless everything is kept: `keep` is all tokens of a tile, or `total` is at least what the
    stock model feeds. Then the picture or video is fed as the stock model does it. The CLS of a frame (Video-LLaVA) and
    the newline that ends a video (LLaVA-OneVision) are always fed, and not counted.
    """

    keep: int | None
    total: int | None

    def __str__(self) -> str:
        return f"keep={self.keep}" if self.keep is not None else f"total={self.total}"


def budget(keep: Any, total: Any) -> Budget:
    """A checked `Budget`."""
    if (keep is None) == (total is None):
        came = "neither" if keep is None else f"keep={keep!r} and total={total!r}"
        raise ValueError(
            f"exactly one of keep (tokens of a tile or frame) and total (tokens of a picture or video) is needed, "
            f"got {came}"
        )
    if total is None:
        checks.budget(keep)
        return Budget(int(keep), None)
    arguments.count("total", total)
    return Budget(None, int(total))


def keeps_all(layout: Layout, budget: Budget) -> bool:
    """Whether a picture or video is fed as the stock model does it."""
    if budget.total is not None:
        return budget.total >= int((~np.isin(layout.tile, ALWAYS)).sum())
    return (budget.keep or 0) >= int(np.bincount(layout.tile[layout.tile >= 0]).max())


def candidate_groups(
    layout: Layout, budget: Budget, whole_picture: bool = False
) -> list[tuple[Int[np.ndarray, "size"], int]]:
    """The tokens that compete with each other, as positions in the layout, and how many of them are kept.

    `whole_picture`: with `total` the base tile is in one competition with the others, as some methods want it.
    """
    order = np.argsort(layout.tile, kind="stable")
    if budget.keep is not None:
        counts = np.bincount(layout.tile[layout.tile >= 0], minlength=layout.tiles)
        tiles = np.split(order[len(order) - counts.sum() :], np.cumsum(counts)[:-1])
        return [(tile, min(budget.keep, len(tile))) for tile in tiles if len(tile)]
    tokens = np.flatnonzero(layout.tile >= 0)
    total = min(budget.total or 0, len(tokens))
    if layout.apart:
        frames = np.split(tokens, np.flatnonzero(np.diff(layout.tile[tokens])) + 1)
        ends = [total * number // len(frames) for number in range(len(frames) + 1)]
        return [(x, end - start) for x, start, end in zip(frames, ends, ends[1:], strict=False) if end > start]
    if not layout.base or whole_picture:
        return [(tokens, total)]
    base, rest = np.flatnonzero(layout.tile == 0), np.flatnonzero(layout.tile > 0)
    share = max(1, total * len(base) // len(tokens))
    return [(group, kept) for group, kept in ((base, share), (rest, total - share)) if kept]


def num_by_tile(layout: Layout, budget: Budget) -> list[int]:
    """How many tokens of each tile are fed, where that is known before the encoder runs: tiles that stand `apart`."""
    if keeps_all(layout, budget):
        return np.bincount(layout.tile).tolist()
    counts = [0] * layout.tiles
    for positions, kept in candidate_groups(layout, budget):
        counts[layout.tile[positions[0]]] = kept
    return counts


def num_visual_tokens(layout: Layout, budget: Budget) -> int:
    """How many placeholders a picture or video needs."""
    if keeps_all(layout, budget):
        return len(layout.tile)
    return sum(kept for _, kept in candidate_groups(layout, budget)) + int(np.isin(layout.tile, ALWAYS).sum())
