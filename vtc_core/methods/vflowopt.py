"""VFlowOpt, the stage before the language model: what sinks attend to, and the rest recycled cell by cell."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from vtc_core import arguments
from vtc_core.spec import resolve_layers

from .method import Choice, Method, Seen
from .parts import arange, at, first, one_hot, ranked, wide


@dataclass(frozen=True)
class VFlowOpt(Method):
    """What sinks attend to is kept, the lowest tokens of a cell of the grid become one weighted mean (ICCV 2025).

        w     mean of mean_h softmax(q_i . k / sqrt(d)) over sinks i, those that receive more than `threshold` times
              the mean attention; of the last useful layer (25 of SigLIP's first 26), per tile
        cell  (floor(row / cell), floor(column / cell)), of the base tile and of the joined crops apart
        low   the lowest w, in groups by cell: the highest w of a group becomes sum w x / sum w over the group

    As many are low as make `keep` rows, (tokens - low) + groups of the low. Published for 10 % of the tokens: 39.26
    and 17.39; for 25 %: 34.76 and 15.58; for 50 %: 28.68 and 11.76. The entropy of patches has no weight in them.

    Deviations: exactly `keep` rows (there round(n (1 - retain)) + floor(n / cell^2) are low, whatever number of rows
    that makes); with fewer rows than cells the groups of the highest w (there more rows); if there is no sink, the
    token that receives most is one (there NaN); newlines are no tokens (there kept as such of w = 1); a single tile is
    pruned (there not); a group without weight is its first token (there NaN).
    """

    name: ClassVar[str] = "vflowopt"
    looks_at: ClassVar[str] = "attention of sinks, by cells"
    source: ClassVar[str] = "arXiv 2508.05211"
    needs: ClassVar[tuple[str, ...]] = ("sink_attention", "projected")
    merges: ClassVar[bool] = True
    merges_projected: ClassVar[bool] = True

    threshold: int | float = 39.26
    cell: int | float = 17.39

    def __post_init__(self) -> None:
        arguments.number("threshold", self.threshold, 0.0, float("inf"))
        arguments.number("cell", self.cell, 1.0, float("inf"))

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return resolve_layers(1, depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp, tokens = array_namespace(seen.tile), seen.tile.shape[1]
        weights = wide(seen.sink_attention[:, :, -1])
        cells = xp.astype(xp.floor(xp.astype(seen.places, xp.float32) / self.cell), seen.places.dtype)
        size = xp.max(cells, axis=1, keepdims=True) + 1
        row = xp.where(seen.tile > 0, size[:, :, 0], 0) + cells[:, :, 0]
        group = row * size[:, :, 1] + cells[:, :, 1]
        stays, low = rows(v, weights, group, keep)
        indices = first(v, xp.where(stays, 1, 0), weights, keep)[0]
        together = (group[:, None, :] == at(v, group, indices)[:, :, None]) & low[:, None, :]
        itself = one_hot(indices, tokens)
        share = xp.where(together & at(v, low, indices)[:, :, None], weights[:, None, :], 0.0)
        total = xp.sum(share, axis=2, keepdims=True)
        mixed = share / xp.where(total > 0, total, 1.0)
        return Choice(indices, weights, xp.where(total > 0, mixed, xp.astype(itself, weights.dtype)))


def rows(
    v: ModuleType, weights: Float[Any, "batch tokens"], group: Int[Any, "batch tokens"], keep: Any
) -> tuple[Bool[Any, "batch tokens"], Bool[Any, "batch tokens"]]:
    """Which tokens stay, alone or for their group, and which are low, so that `keep` stay, or one for every cell."""
    xp, tokens = array_namespace(weights), weights.shape[1]
    place = arange(tokens, group)[None, :]
    lowest = xp.flip(ranked(weights), axis=1)  # tokens, the lowest first
    groups = at(v, group, lowest)
    in_groups = xp.argsort(groups, axis=1, stable=True)  # places in `lowest`, group by group
    sorted_groups = at(v, groups, in_groups)
    differs = sorted_groups[:, 1:] != sorted_groups[:, :-1]
    edge = sorted_groups[:, :1] == sorted_groups[:, :1]
    back = xp.argsort(in_groups, axis=1)
    opens = at(v, xp.concat([edge, differs], axis=1), back)  # whether it is the lowest of its group
    stay = tokens - (place + 1) + xp.cumulative_sum(xp.where(opens, 1, 0), axis=1)  # were all up to here low
    count = xp.sum(xp.where(stay >= keep, 1, 0), axis=1, keepdims=True)
    # The highest of the low of a group is the last of the group, or the one before the first that is not low.
    is_low = in_groups < count
    last = xp.concat([differs | ~is_low[:, 1:], edge], axis=1)
    stays = at(v, ~is_low | last, back)
    where = xp.argsort(lowest, axis=1)
    return at(v, stays, where), where < count


def sinks(received: Float[Any, "batch tokens"], threshold: float) -> Bool[Any, "batch tokens"]:
    """Which tokens receive more than `threshold` times the mean attention of a tile; the one that receives most is one.

    Encoders find them from attention received, and then take the mean over their rows (`Seen.sink_attention`).
    """
    xp = array_namespace(received)
    highest = received == xp.max(received, axis=1, keepdims=True)
    return (received > threshold * xp.mean(received, axis=1, keepdims=True)) | highest
