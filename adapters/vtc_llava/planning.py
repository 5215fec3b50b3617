"""Which tokens of every picture compete and which are certain: integers, made once for the pictures of a call."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from vtc_core.methods import Method

from .budget import Budget, candidate_groups, keeps_all
from .geometry import ALWAYS, Layout, widened


class Plan(NamedTuple):
    """One call of the encoder, for all tiles of all pictures (or videos) of a batch, whatever is in them.

    A position is a token that the stock model would feed, numbered over all pictures. It is made of `parts` tokens of
    the encoder; patch i of a tile with `tokens` patches has the number `tile * (1 + tokens) + 1 + i`, CLS that before.
    """

    tokens: int  # patches of a tile
    starts: list[int]  # of each picture, and the end: its first position
    firsts: list[int]  # its first tile, among all tiles
    tile: Int[np.ndarray, "positions"]  # among the tiles of its picture; or a mark
    place: Int[np.ndarray, "positions 2"]
    source: Int[np.ndarray, "positions parts"]
    weight: Float[np.ndarray, "positions parts"]
    certain: Int[np.ndarray, "certain"]  # positions that are fed whatever is in the pictures
    candidates: dict[tuple[int, int], Int[np.ndarray, "groups size"]]  # by size and how many of each row are fed
    lengths: list[int]  # tokens fed of each picture

    @property
    def tiles(self) -> int:
        return self.firsts[-1]


def plan(layouts: Sequence[Layout], budgets: Sequence[Budget], tokens: int, method: Method) -> Plan:
    """Of pictures with these layouts and budgets; `tokens` patches a tile."""
    starts = np.cumsum([0, *(len(layout.tile) for layout in layouts)])
    firsts = np.cumsum([0, *(layout.tiles for layout in layouts)])
    source, weight = widened(layouts)
    certain, candidates, lengths = [], defaultdict(list), []
    for layout, budget, start in zip(layouts, budgets, starts[:-1], strict=True):
        if keeps_all(layout, budget):
            competitions, sure = [], np.arange(len(layout.tile))
        else:
            competitions = candidate_groups(layout, budget, method.whole_picture)
            sure = np.flatnonzero(np.isin(layout.tile, ALWAYS))
        certain.append(start + sure)
        for positions, kept in competitions:
            candidates[len(positions), kept].append(start + positions)
        lengths.append(len(sure) + sum(kept for _, kept in competitions))
    return Plan(
        tokens,
        starts.tolist(),
        firsts.tolist(),
        np.concatenate([layout.tile for layout in layouts]),
        np.concatenate([layout.place for layout in layouts]),
        source + np.repeat(firsts[:-1], np.diff(starts))[:, None] * (1 + tokens),
        weight,
        np.concatenate(certain),
        {key: np.stack(rows) for key, rows in candidates.items()},
        lengths,
    )
