"""A batch of prompts with pictures on its way through the language model, and the stages that shorten it."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vtc_core.methods import Choice
from vtc_core.stages import Stage
from vtc_core.stages.schedule import Cut, checked_schedule
from vtc_torch import verbs

from . import ragged, shortened
from .places import Visual
from .ragged import Hidden, Row
from .running import Noted, attends, noting, seen
from .segments import Segment
from .shortened import Left

WEIGHING = ("sdpa", "eager")  # implementations that add a mask of numbers


class Prompts:
    """One prefill.

    Attributes:
        schedule: the layers before which prompts get shorter, and the stage of each.
        left: for such a layer, where in each row's prompt the visual tokens that are left were; -1 for a mixture that
            has no place.
    """

    def __init__(self, lm: Any, stages: Sequence[Stage], visual: Visual) -> None:
        self._lm = lm
        self._visual = visual
        self._stages = stages
        self.schedule = {cut.layer: cut.stage for cut in self._cuts(1)}
        self.left: dict[int, list[Int[Tensor, "tokens"]]] = {}
        self._noted: list[Noted] = []
        self._weighs = self._is_shorter = False

    def enter(self, hidden: Hidden, attention_mask: Any, positions: Int[Tensor, "#batch length"], cache: Any) -> None:
        """Check what is given, before any layer is run."""
        _check(self._lm, self.schedule.values(), hidden, attention_mask, cache)
        self._cache = cache
        self._prompt = hidden
        self._rows = ragged.entering(hidden, attention_mask, positions, *self._visual)
        self._entered = [self._rows.row(number) for number in range(len(hidden))]
        if any((row.fields.positions.diff() <= 0).any() for row in self._entered if len(row.visual)):
            raise ValueError("stages take one prompt a row: position_ids must ascend, and do not (packed sequences)")

    def looking(self, number: int, layer: Any) -> AbstractContextManager[Any]:
        """While layer `number` is called: note the queries and keys that the stage after it asks for."""
        stage = self.schedule.get(number + 1)
        if stage is None or stage.ahead or not attends(stage):
            return nullcontext()
        self._noted.clear()
        return noting(layer.self_attn, self._noted)

    def ask(self, number: int, hidden: Hidden, segment: Segment) -> tuple[Float[Tensor, "batch left dim"], Segment]:
        """What goes on to layer `number`."""
        stage, made, unchanged = self.schedule[number], [], True
        for at in range(len(hidden)):
            row = self._rows.row(at)
            own = hidden[at, row.at]
            choice = self._asked(stage, number, at, row, own, segment) if len(row.visual) else None
            if choice is None or row.keeps_all(choice):
                made.append((own, row.fields))
            else:
                made.append(row.shortened(own, choice, stage.renumbers))
                unchanged = False
        self.left[number] = [fields.origin[fields.visual] for _, fields in made]
        if unchanged:
            return hidden, segment
        hidden, rows = ragged.padded(made)
        self._rows, self._is_shorter = rows, True
        self._weighs = self._weighs or stage.weighs
        sizes = rows.sizes.clamp(min=1).log() if self._weighs else None
        last = torch.stack([row.fields.positions[-1] for row in self._entered])
        if self._cache is not None:
            shortened.shorten(self._cache, number, Left(rows.present, last - rows.positions[:, -1], sizes))
        return hidden, Segment(self._lm, number, hidden, rows.positions, self._cache, rows.present, sizes)

    def _asked(
        self, stage: Stage, number: int, at: int, row: Row, own: Float[Tensor, "length dim"], segment: Segment
    ) -> Choice:
        entered, layer = self._entered[at], self._lm.layers[number]
        (scheduled,) = (cut.kept for cut in self._cuts(len(entered.visual)) if cut.layer == number)
        looks_back = attends(stage) and not stage.ahead
        heads = Noted(*(x[at, row.at] for x in self._noted[-1])) if looks_back else layer
        rotation = [x.expand(len(self._entered), -1, -1)[at, row.at] for x in segment.rotation]
        prompt = (self._prompt[at, entered.at], entered)
        with torch.no_grad():
            running = seen(stage, row, own, prompt, rotation, heads, self._lm.norm)
            with torch.autocast(own.device.type, enabled=False):
                keep = min(scheduled, len(row.visual))
                return stage.choose(verbs, running, keep, layer.self_attn.scaling, number)

    def _cuts(self, tokens: int) -> tuple[Cut, ...]:
        return checked_schedule(self._stages, self._lm.config.num_hidden_layers, tokens)

    def scattered(self, hidden: Hidden) -> Float[Tensor, "batch prompt dim"]:
        """Final hidden states, where they were in the prompts."""
        return ragged.scattered(hidden, self._rows, self._prompt.shape[1]) if self._is_shorter else hidden


def _check(lm: Any, stages: Iterable[Stage], hidden: Hidden, attention_mask: Any, cache: Any) -> None:
    """ValueErrors for what a prompt cannot be shortened with."""
    if cache is not None:
        shortened.check(cache)
    if attention_mask is not None and getattr(attention_mask, "shape", None) != hidden.shape[:2]:
        found = tuple(getattr(attention_mask, "shape", ())) or type(attention_mask).__name__
        raise ValueError(f"stages take an attention_mask of shape {(*hidden.shape[:2],)} as the prompt, got {found}")
    if cache is not None and cache.get_seq_length():
        raise ValueError(
            "stages prune the pictures of a prompt that is given at once, to an empty cache; this one holds "
            f"{cache.get_seq_length()} tokens already (chunked prefill, or a second turn with a new picture: give the "
            "whole conversation again)"
        )
    implementation = lm.config._attn_implementation
    for stage in stages:
        if stage.weighs and implementation not in WEIGHING:
            raise ValueError(
                f"stage {stage.name!r} adds to attention logits: attn_implementation must be one of "
                f"{', '.join(WEIGHING)}, got {implementation!r}"
            )
