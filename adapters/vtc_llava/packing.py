"""From the scores of all tiles to the tokens that are fed: what the encoder is asked for, and where that goes."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vtc_torch import select

from .budget import Budget, everything, fed, groups
from .geometry import ALWAYS, END, NEWLINE, Layout, widened


class Packing:
    """One call of the encoder, for all tiles of all pictures (or videos) of a batch: `choose` first, then `feed`.

    Args:
        layouts: of each picture.
        budgets: of each picture.
        tokens: patch tokens of a tile.

    Attributes:
        lengths: tokens fed of each picture.
    """

    def __init__(self, layouts: Sequence[Layout], budgets: Sequence[Budget], tokens: int) -> None:
        starts = np.cumsum([0, *(len(layout.tile) for layout in layouts)])  # of pictures, among all that could be fed
        firsts = np.cumsum([0, *(layout.tiles for layout in layouts)])  # their first tiles
        tile = np.concatenate([layout.tile for layout in layouts])
        source, self.weight = widened(layouts)
        self.source = source + np.repeat(firsts[:-1], np.diff(starts))[:, None] * (1 + tokens)
        self.lengths = [fed(layout, budget) for layout, budget in zip(layouts, budgets, strict=True)]
        self.tokens, self.tiles = tokens, int(firsts[-1])
        self.newline = np.isin(tile, (NEWLINE, END))
        self.certain = [np.flatnonzero(np.isin(tile, ALWAYS))]  # positions that are fed whatever their scores
        self.rivals: dict[tuple[int, int], list[np.ndarray]] = defaultdict(list)  # (size, kept): positions of groups
        for layout, budget, start in zip(layouts, budgets, starts[:-1], strict=True):
            if everything(layout, budget):
                self.certain.append(start + np.flatnonzero(~np.isin(layout.tile, ALWAYS)))
            else:
                for positions, kept in groups(layout, budget):
                    self.rivals[len(positions), kept].append(start + positions)

    def choose(self, scores: Float[Tensor, "tiles tokens"]) -> Int64[Tensor, "tiles widest"]:
        """The patches that every tile is asked for; -1 is CLS. Rows are filled up with patch 0.

        A blend's score is the blend of scores, as its feature is that of features.
        """
        device = scores.device
        source, weight = torch.from_numpy(self.source).to(device), torch.from_numpy(self.weight).to(scores)
        numbered = torch.nn.functional.pad(scores, (1, 0)).flatten()  # CLS has a number, if no score
        blended = (numbered[source] * weight).sum(-1) if source.shape[1] > 1 else numbered[source[:, 0]]
        chosen = [torch.from_numpy(np.concatenate(self.certain)).to(device)]
        for (_, kept), groups_of_a_size in self.rivals.items():
            positions = torch.from_numpy(np.stack(groups_of_a_size)).to(device)
            chosen.append(positions.gather(1, select(blended[positions], kept)).flatten())
        self._fed = torch.cat(chosen).sort().values  # in the stock model's order
        self._weight = weight[self._fed]

        needed, self._part = source[self._fed].unique(return_inverse=True)  # by tile, then raster order
        self._tile = needed // (1 + self.tokens)
        taken = self._tile.bincount(minlength=self.tiles)
        self._place = torch.arange(len(needed), device=device) - (taken.cumsum(0) - taken)[self._tile]
        indices = torch.zeros(self.tiles, int(taken.max()), dtype=torch.int64, device=device)
        indices[self._tile, self._place] = needed % (1 + self.tokens) - 1
        return indices

    @property
    def filled_up(self) -> Bool[Tensor, "tiles widest"]:
        """Where `choose` returned an index that nobody asked for."""
        asked = torch.zeros(self.tiles, int(self._place.max()) + 1, dtype=torch.bool, device=self._tile.device)
        asked[self._tile, self._place] = True
        return ~asked

    def feed(
        self,
        features: Float[Tensor, "tiles widest dim"],
        project: Callable[[Tensor], Tensor],
        newline: Float[Tensor, "language"] | None,
        blend_projected: bool,
    ) -> list[Float[Tensor, "length language"]]:
        """What the language model is fed of each picture, of the features that `choose` asked for."""
        tokens = features[self._tile, self._place]  # needed dim
        if self.source.shape[1] == 1:
            tokens = project(tokens[self._part[:, 0]])
        elif blend_projected:
            tokens = self._blend(project(tokens))
        else:
            tokens = project(self._blend(tokens))
        if newline is not None:
            is_newline = torch.from_numpy(self.newline).to(features.device)[self._fed]
            tokens = torch.where(is_newline[:, None], newline.to(tokens), tokens)
        return list(tokens.split(self.lengths))

    def _blend(self, tokens: Float[Tensor, "needed dim"]) -> Float[Tensor, "fed dim"]:
        """In float32 at least, as torch's pooling and interpolation do."""
        return (tokens[self._part] * self._weight[:, :, None]).sum(1).to(tokens.dtype)
