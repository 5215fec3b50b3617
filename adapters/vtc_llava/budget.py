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


Group = tuple[Int[np.ndarray, "size"], int]  # positions in a layout that compete, and how many of them are kept


def candidate_groups(layout: Layout, budget: Budget, whole_picture: bool = False) -> list[Group]:
    """The tokens that compete with each other, as positions in the layout, and how many of them are kept.

        keep=2                [tile 0: 2 of 9] [tile 1: 2 of 9] [tile 2: 2 of 6]
        total=6               [base tile 0: 6 * 9 // 24 = 2 of 9] [tiles 1 and 2: 4 of 15]
        total=6, one video, or `whole_picture`    [all: 6 of 24]
        total=6, apart        [frame 0: 2 of 8] [frame 1: 2 of 8] [frame 2: 2 of 8]

    `whole_picture`: with `total` the base tile is in one competition with the others, as some methods want it.
    """
    if budget.keep is not None:
        return [(tile, min(budget.keep, len(tile))) for tile in _by_tile(layout)]
    tokens = np.flatnonzero(layout.tile >= 0)
    total = min(budget.total or 0, len(tokens))
    if layout.apart:
        groups = _evenly(_by_tile(layout), total)
    elif layout.base and not whole_picture:
        base, others = np.flatnonzero(layout.tile == 0), np.flatnonzero(layout.tile > 0)
        share = max(1, total * len(base) // len(tokens))
        groups = [(base, share), (others, total - share)]
    else:
        groups = [(tokens, total)]
    return [(group, kept) for group, kept in groups if kept]


def _by_tile(layout: Layout) -> list[Int[np.ndarray, "size"]]:
    """Positions of the tokens of each tile that has any."""
    groups = [np.flatnonzero(layout.tile == tile) for tile in range(layout.tiles)]
    return [group for group in groups if len(group)]


def _evenly(groups: list[Int[np.ndarray, "size"]], total: int) -> list[Group]:
    """`total` over all groups: each has the same part, to one token, and no more goes to earlier ones."""
    ends = [total * number // len(groups) for number in range(len(groups) + 1)]
    return [(group, end - start) for group, start, end in zip(groups, ends[:-1], ends[1:], strict=True)]


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
