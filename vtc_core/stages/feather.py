"""FEATHER: what the last token attends to without positions, and first an even grid as well."""

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from array_api_compat import array_namespace

from vtc_core import arguments
from vtc_core.methods import Choice
from vtc_core.methods.parts import at, best, first, mask

from .attention import logits, softmax
from .budgets import ascending, falling
from .ends import filled
from .stage import Running, Stage


@dataclass(frozen=True)
class Feather(Stage):
    """The visual tokens to which the last token attends most, positions left out of account (FEATHER, ICCV 2025).

        s_j     mean_h softmax over visual tokens (q_last . k / sqrt(d))[h, j],  q and k before RoPE, of the layer
                before the cut
        first   before layers[0]: the floor(N (1 - ratio)) highest, and every `stride`th row's every `stride`th column
        second  before layers[1]: of the M that are left, the floor(M (1 - ratio)^2) highest

    Positions stay. `schedule` counts the grid of a square picture; where rows and columns meet oftener, at most as
    many are left (the grid before the others). Few tokens can leave none in the end, as published.

    Deviations: batches, several pictures and any form of the grid (there one square picture).
    """

    name: ClassVar[str] = "feather"
    looks_at: ClassVar[str] = "last token, without RoPE; a grid"
    source: ClassVar[str] = "arXiv 2412.13180"
    needs: ClassVar[tuple[str, ...]] = ("plain_query", "plain_keys")
    adaptive: ClassVar[bool] = True

    layers: tuple[int, ...] = (8, 16)
    ratio: int | float = 0.7
    stride: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", ascending(self.layers))
        if len(self.layers) != 2:
            raise ValueError(f"layers must be the 2 layer numbers of FEATHER's stages, got {self.layers}")
        arguments.number("ratio", self.ratio, 0.0, 1.0)
        arguments.count("stride", self.stride)

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        side = -(-(tokens**0.5) // self.stride)
        most = min(tokens, int(tokens * (1 - self.ratio)) + int(side * side))
        return falling(self.layers, [most, int(most * (1 - self.ratio) ** 2)], depth, tokens)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        xp, tokens, earlier = array_namespace(seen.visual), seen.visual.shape[1], layer == self.layers[0]
        among = mask(seen.visual, seen.plain_keys.shape[2])[:, None, :]
        row = softmax(logits(seen.plain_query, seen.plain_keys, scale)[:, :, 0], among)
        scores = at(v, xp.mean(row, axis=1), seen.visual)
        share = 1 - self.ratio if earlier else (1 - self.ratio) ** 2
        left = mask(best(v, scores, min(keep, int(tokens * share))), tokens)
        grid = xp.all((seen.places >= 0) & (seen.places % self.stride == 0), axis=2) & earlier
        left = left | grid
        indices, _ = first(v, xp.where(grid, 2, xp.where(left, 1, 0)), scores, max(keep, 1))
        return Choice(filled(v, indices, left)[:, :keep], scores)
