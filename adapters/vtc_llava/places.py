"""Where visual tokens are: in the prompts of a batch, and on the grids of their pictures."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vtc_core.methods import Choice
from vtc_core.methods.parts import places_of

from .packing import Candidates, Plan

Places = Int[Tensor, "fed 2"]  # row and column on the grid of the tile or of the joined tiles; -1 for what has none


def of_pictures(choice: Choice, tokens: int) -> Places:
    """Of pictures of one tile each, all that is fed of them."""
    indices = choice.indices.flatten()
    return torch.where(indices[:, None] < 0, -1, places_of(indices, tokens))


def of_tiles(plan: Plan, ended: Sequence[Candidates]) -> Places:
    """Of the pictures of a plan, in the order in which their tokens are fed."""
    device = ended[0].positions.device if ended else torch.device("cpu")
    grid = torch.where(torch.from_numpy(plan.tile)[:, None] < 0, -1, torch.from_numpy(plan.place)).to(device)
    certain = torch.from_numpy(plan.certain).to(device)
    places, fed = [grid[certain]], [certain]
    for candidates in ended:
        indices = candidates.choice.indices
        own = candidates.positions.gather(1, indices.clamp(min=0).long())
        places.append(torch.where(indices[..., None] < 0, -1, grid[own]).flatten(0, 1))
        fed.append(candidates.fed.flatten())
    return torch.cat(places)[torch.cat(fed).argsort(stable=True)]


class Visual(NamedTuple):
    """Of the prompts of a batch, as they enter the language model."""

    mask: Bool[Tensor, "batch length"]
    places: Int[Tensor, "batch length 2"]

    @classmethod
    def of(cls, mask: Bool[Tensor, "batch length"], places: Places) -> "Visual":
        """`places` in the order of the mask, where rows may be repeated, each as often: pictures were encoded before.

        Raises:
            ValueError: the pictures of the prompt are not those that were encoded last.
        """
        counts, encoded = mask.sum(1).tolist(), len(places)
        fed = sum(counts)
        copies = fed // max(encoded, 1)
        if not copies or fed != copies * encoded or sum(counts[::copies]) != encoded:
            raise ValueError(
                f"stages need to know where visual tokens are in their pictures: the prompt has {fed}, and {encoded} "
                "were made by the last call that encoded pictures"
            )
        grid = torch.full((*mask.shape, 2), -1, device=mask.device)
        grid[mask] = torch.cat([row for row in places.to(grid).split(counts[::copies]) for _ in range(copies)])
        return cls(mask, grid)

    def joined(self, other: "Visual | None") -> "Visual":
        """Pictures, and videos."""
        if other is None or other.mask.shape != self.mask.shape:
            return self
        return Visual(self.mask | other.mask, torch.where(other.mask[..., None], other.places, self.places))
