"""How much of each patch is in each token that is fed: for pictures of a merge, and for whoever wants to check one."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vtc_core.methods import Choice
from vtc_core.methods.parts import one_hot

from .packing import Candidates, Plan


def of_row(choice: Choice, row: int) -> Float[Tensor, "keep tokens"]:
    """Of one competition."""
    if choice.weights is not None:
        return choice.weights[row].float()
    return one_hot(choice.indices[row : row + 1], choice.scores.shape[1])[0].float()


def of_tiles(plan: Plan, ended: Sequence[Candidates], number: int) -> Float[Tensor, "length patches"]:
    """Of picture `number` of a plan, in the order in which its tokens are fed; patches of all its tiles, in a row."""
    start, stop = plan.starts[number], plan.starts[number + 1]
    makeup = _makeup(plan, number)
    certain = torch.from_numpy(plan.certain[(plan.certain >= start) & (plan.certain < stop)])
    rows, fed = [makeup[certain - start]], [certain]
    for candidates in ended:
        positions = candidates.positions.cpu()
        for row in ((positions[:, 0] >= start) & (positions[:, 0] < stop)).nonzero().flatten().tolist():
            rows.append(of_row(candidates.choice, row).cpu() @ makeup[positions[row] - start])
            fed.append(candidates.fed[row].cpu())
    return torch.cat(rows)[torch.cat(fed).argsort(stable=True)]


def _makeup(plan: Plan, number: int) -> Float[Tensor, "positions patches"]:
    """Of which patches each token is made that the stock model could feed of a picture; marks of none."""
    start, stop, first = plan.starts[number], plan.starts[number + 1], plan.firsts[number]
    patches = (plan.firsts[number + 1] - first) * plan.tokens
    makeup = torch.zeros(stop - start, 1 + patches)  # the first column is for what is no patch
    is_mark = torch.from_numpy(plan.tile[start:stop] < 0)
    for source, weight in zip(plan.source[start:stop].T, plan.weight[start:stop].T, strict=True):
        token = torch.from_numpy(source) - first * (1 + plan.tokens)
        column = (token - token // (1 + plan.tokens)).masked_fill(is_mark, 0)  # CLS has no column
        makeup[torch.arange(len(makeup)), column] += torch.from_numpy(weight).float()
    return makeup[:, 1:]
