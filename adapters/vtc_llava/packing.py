"""The tokens of tiles become the tokens that the language model gets of each picture, in two steps after `planning`.

`choose` collects the tokens that compete with each other in one row, stacks all rows of the same size, and lets the
method choose. `feed` projects what was chosen, and puts it in the order of the stock model.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from vtc_core.methods import Choice, Seen
from vtc_core.methods.method import OF_PROMPT
from vtc_torch import Pruned
from vtc_torch.walk import Looked, mix

from .geometry import END, NEWLINE
from .planning import Plan as Plan
from .planning import plan as plan

Project = Callable[[Tensor], Tensor]


class Candidates(NamedTuple):
    """Competitions of one size, and how they ended."""

    positions: Int64[Tensor, "groups size"]
    seen: Seen
    choice: Choice

    @property
    def fed(self) -> Int64[Tensor, "groups kept"]:
        """The position where each fed token goes: its own, or for a mixture that of the token before it at least.

        So that the order of a method that mixes is kept, and what is fed stays in the order of the stock model.
        """
        own = self.positions.gather(1, self.choice.indices.clamp(min=0).long())
        own = torch.where(self.choice.indices < 0, self.positions[:, :1], own)
        return own.cummax(1).values if self.choice.weights is not None else own


def choose(plan: Plan, looked: Looked, project: Callable[[Any], Tensor], blend_projected: bool) -> list[Candidates]:
    """Ask the method about every competition. `blend_projected`: tokens are blended after the projector, not before."""
    method, seen = looked.method, looked.seen
    blended = plan.source.shape[1] > 1
    if blended and blend_projected and method.merges and seen.projected is None:
        seen = seen._replace(projected=project(seen.features))  # what is mixed there
    ended = []
    for (_, kept), rows in plan.candidates.items():
        of_rows = _of(plan, rows, seen)
        if blended and not blend_projected and seen.projected is not None:
            of_rows = of_rows._replace(projected=project(of_rows.features))
        positions = torch.from_numpy(rows).to(seen.tile.device)
        ended.append(Candidates(positions, of_rows, looked.choose(kept, of_rows)))
    return ended


def _of(plan: Plan, rows: Int[np.ndarray, "groups size"], seen: Seen) -> Seen:
    """What was seen of all tiles, for the tokens of competitions; of a blend the blend of it."""
    device = seen.tile.device
    source, weight = (torch.from_numpy(x[rows]).to(device) for x in (plan.source, plan.weight))  # groups size parts
    patches = source - 1 - source // (1 + plan.tokens)

    def blend(field: Tensor) -> Tensor:
        parts = field.flatten(0, 1)[patches]  # groups size parts ...
        if parts.shape[2] == 1:
            return parts[:, :, 0]
        return (parts * weight.view(*weight.shape, *[1] * (parts.dim() - 3))).sum(2).to(field.dtype)

    of_tile = source[:, 0, 0] // (1 + plan.tokens)  # the words of a picture are those of each of its tiles
    shown = {name: field for name, field in seen._asdict().items() if field is not None}
    fields = {name: field[of_tile] if name in OF_PROMPT else blend(field) for name, field in shown.items()}
    places, tile = (torch.from_numpy(x[rows]).to(device) for x in (plan.place, plan.tile))
    return Seen(**{**fields, "places": places, "tile": tile})


def feed(
    plan: Plan,
    looked: Looked,
    ended: Sequence[Candidates],
    project: Project,
    newline: Float[Tensor, "language"] | None,
    blend_projected: bool,
) -> tuple[list[Float[Tensor, "length language"]], Pruned]:
    """What the language model is fed of each picture, and what was taken of every tile for that."""
    certain = torch.from_numpy(plan.certain).to(looked.seen.tile.device)
    fed, order = torch.cat([certain, *(candidates.fed.flatten() for candidates in ended)]).sort(stable=True)
    if not looked.method.merges:
        tokens, table, features = _copies(plan, looked, fed, project, newline, blend_projected)
        return list(tokens.split(plan.lengths)), Pruned(features, table, _scores(plan, ended, fed.device))
    mixed = [_mixtures(plan, looked, candidates, project, blend_projected) for candidates in ended]
    if len(certain):
        mixed = [_copies(plan, looked, certain, project, newline, blend_projected)[0], *mixed]
    anchors = torch.from_numpy(plan.source[:, 0]).to(fed.device)[fed]
    table = _by_tile(plan, anchors.unique()).table
    pruned = Pruned(looked.finish(table), table, _scores(plan, ended, fed.device))
    return list(torch.cat(mixed)[order].split(plan.lengths)), pruned


def _mixtures(
    plan: Plan, looked: Looked, candidates: Candidates, project: Project, blend_projected: bool
) -> Float[Tensor, "fed language"]:
    seen, choice = candidates.seen, candidates.choice
    if looked.method.merges_projected or (blend_projected and plan.source.shape[1] > 1):
        return mix(seen.projected, choice).flatten(0, 1)
    cls = None
    if looked.method.feeds_cls:  # that of the first tile
        tile = torch.from_numpy(plan.source[:, 0] // (1 + plan.tokens)).to(choice.indices.device)
        of_tiles = looked.finish(torch.full_like(looked.seen.tile[:, :1], -1))[:, 0]
        cls = of_tiles[tile[candidates.positions[:, 0]]]
    return project(mix(seen.features, choice, cls)).flatten(0, 1)


def _copies(
    plan: Plan,
    looked: Looked,
    fed: Int64[Tensor, "fed"],
    project: Project,
    newline: Float[Tensor, "language"] | None,
    blend_projected: bool,
) -> tuple[Float[Tensor, "fed language"], Int64[Tensor, "tiles widest"], Float[Tensor, "tiles widest dim"]]:
    """The tokens at these positions; the encoder finishes only those that they are made of."""
    source, weight = (torch.from_numpy(x).to(fed.device)[fed] for x in (plan.source, plan.weight))
    needed, part = source.unique(return_inverse=True)  # by tile, then raster order
    place = _by_tile(plan, needed)
    features = looked.finish(place.table)
    tokens = features[place.tile, place.column]  # needed dim

    def blend(tokens: Float[Tensor, "needed dim"]) -> Float[Tensor, "fed dim"]:
        """In float32 at least, as torch's pooling and interpolation do."""
        return (tokens[part] * weight[:, :, None]).sum(1).to(tokens.dtype)

    if source.shape[1] == 1:
        tokens = project(tokens[part[:, 0]])
    else:
        tokens = blend(project(tokens)) if blend_projected else project(blend(tokens))
    if newline is not None:
        is_newline = torch.from_numpy(np.isin(plan.tile, (NEWLINE, END))).to(fed.device)[fed]
        tokens = torch.where(is_newline[:, None], newline.to(tokens), tokens)
    return tokens, place.table, features


class ByTile(NamedTuple):
    """Where the encoder's tokens stand in a table with a row for each tile."""

    tile: Int64[Tensor, "needed"]
    column: Int64[Tensor, "needed"]
    table: Int64[Tensor, "tiles widest"]  # patches; -1 is CLS, and where nothing stands


def _by_tile(plan: Plan, needed: Int64[Tensor, "needed"]) -> ByTile:
    """`needed` are numbers of tokens, ascending."""
    tile = needed // (1 + plan.tokens)
    taken = tile.bincount(minlength=plan.tiles)
    column = torch.arange(len(needed), device=needed.device) - (taken.cumsum(0) - taken)[tile]
    table = torch.full((plan.tiles, int(taken.max())), -1, device=needed.device)
    table[tile, column] = needed % (1 + plan.tokens) - 1
    return ByTile(tile, column, table)


def _scores(plan: Plan, ended: Sequence[Candidates], device: torch.device) -> Float[Tensor, "tiles tokens"]:
    """Of every patch; of one that did not compete NaN, of one that is in several blends the highest of theirs."""
    table = torch.full((plan.tiles * plan.tokens,), torch.nan, device=device)
    for candidates in ended:
        source, weight = (torch.from_numpy(x).to(device)[candidates.positions] for x in (plan.source, plan.weight))
        patches = source - 1 - source // (1 + plan.tokens)
        scores = candidates.choice.scores.to(table)[:, :, None].expand(patches.shape)
        if patches.shape[2] == 1:
            table[patches] = scores
        else:
            scores = scores.masked_fill(weight == 0, -torch.inf).flatten()
            table.scatter_reduce_(0, patches.flatten(), scores, "amax", include_self=False)
            table.masked_fill_(table == -torch.inf, torch.nan)
    return table.view(plan.tiles, plan.tokens)
