"""Prompts on their way through the language model: rows of tokens, padded on the left as soon as rows differ."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vtc_core.methods import Choice, copied
from vtc_core.stages import EMPTY
from vtc_torch.walk import mix

Hidden = Float[Tensor, "batch length dim"]


class Rows(NamedTuple):
    """What is known of every token of a batch, beside its hidden state."""

    present: Bool[Tensor, "batch length"]  # False: padding
    visual: Bool[Tensor, "batch length"]
    places: Int[Tensor, "batch length 2"]  # row and column on a picture's grid; -1 for those without
    origin: Int[Tensor, "batch length"]  # where in the prompt; -1 for a mixture without a place
    positions: Int[Tensor, "batch length"]
    sizes: Float[Tensor, "batch length"]  # how many tokens it was merged from

    def row(self, number: int) -> "Row":
        """Without padding."""
        at = self.present[number].nonzero()[:, 0]
        return Row(at, self.visual[number, at].nonzero()[:, 0], Rows(*(field[number, at] for field in self)))


class Row(NamedTuple):
    """One row without padding."""

    at: Int[Tensor, "length"]  # where its tokens are in the padded row
    visual: Int[Tensor, "tokens"]  # where visual tokens are in the row
    fields: Rows  # without the axis `batch`

    def keeps_all(self, choice: Choice) -> bool:
        """Whether every visual token is copied to its own place."""
        every = torch.arange(len(self.visual), device=choice.indices.device)
        return torch.equal(choice.indices[0].long(), every) and bool(copied(choice).all())

    def shortened(
        self, hidden: Float[Tensor, "length dim"], choice: Choice, renumbers: bool
    ) -> tuple[Float[Tensor, "kept dim"], Rows]:
        """Visual tokens that were chosen, and everything else. Mixtures without a place follow the last visual one."""
        there = choice.indices[0] != EMPTY
        choice = Choice(*(x if x is None or x is choice.scores else x[:, there] for x in choice))
        kept, length = choice.indices[0].long(), len(self.at)
        fed = torch.arange(length, length + len(kept), device=kept.device)  # behind the row, to be taken from there
        source = torch.arange(length, device=kept.device)
        source[self.visual] = -1
        source[self.visual[kept[kept >= 0]]] = fed[kept >= 0]
        after = int(self.visual[-1]) + 1
        order = torch.cat([source[:after], fed[kept < 0], source[after:]])
        order = order[order >= 0]
        anchors = self.visual[torch.where(kept < 0, len(self.visual) - 1, kept)]
        fields = self.fields
        made = Rows(*(field[anchors] for field in fields))
        made = made._replace(
            places=torch.where(kept[:, None] < 0, -1, made.places), origin=torch.where(kept < 0, -1, made.origin)
        )
        if choice.weights is not None:
            made = made._replace(sizes=(choice.weights[0] > 0).to(fields.sizes) @ fields.sizes[self.visual])
        left = Rows(*(torch.cat(both)[order] for both in zip(fields, made, strict=True)))
        if renumbers:
            left = left._replace(positions=torch.arange(len(order), device=kept.device))
        return torch.cat([hidden, _mixed(hidden[self.visual], choice)])[order], left


def _mixed(visual: Float[Tensor, "tokens dim"], choice: Choice) -> Float[Tensor, "kept dim"]:
    return visual[choice.indices[0].long()] if choice.weights is None else mix(visual[None], choice)[0]


def entering(
    hidden: Hidden,
    attention_mask: Num[Tensor, "batch length"] | Bool[Tensor, "batch length"] | None,
    positions: Int[Tensor, "#batch length"],
    visual: Bool[Tensor, "batch length"],
    places: Int[Tensor, "batch length 2"],
) -> Rows:
    """The rows of prompts as they enter the language model."""
    shape = hidden.shape[:2]
    present = torch.ones(shape, dtype=torch.bool, device=hidden.device)
    if attention_mask is not None:
        present = attention_mask.to(present)
    origin = torch.arange(shape[1], device=hidden.device).expand(shape)
    return Rows(present, visual & present, places, origin, positions.expand(shape), torch.ones_like(present).float())


def padded(rows: list[tuple[Tensor, Rows]]) -> tuple[Hidden, Rows]:
    """Rows of any lengths as a batch."""
    fields = [[hidden for hidden, _ in rows], *zip(*(fields for _, fields in rows), strict=True)]
    hidden, *others = (pad_sequence(list(field), batch_first=True, padding_side="left") for field in fields)
    return hidden, Rows(*others)


def scattered(hidden: Hidden, rows: Rows, length: int) -> Float[Tensor, "batch prompt dim"]:
    """Hidden states where their tokens were in the prompts; zeros where none is left."""
    full = hidden.new_zeros(len(hidden), length, hidden.shape[2])
    batch, at = (rows.present & (rows.origin >= 0)).nonzero(as_tuple=True)
    return full.index_put((batch, rows.origin[batch, at]), hidden[batch, at])
