"""Stages made for tests, the same cuts for the slow decoder, and what they are tried on."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import torch

from vtc_core.methods import Choice
from vtc_core.stages import FastV, Running

from .families import IMAGE, VIDEO, text_config
from .families import llava as make_llava
from .slow_decoder import Cut, topmost


def deep() -> tuple[Any, Any]:
    """A LLaVA whose language model has four layers."""
    return make_llava(text_config=text_config(depth=4, num_key_value_heads=2))


@dataclass(frozen=True)
class Renumbered(FastV):
    name: ClassVar[str] = "renumbered"
    renumbers: ClassVar[bool] = True


@dataclass(frozen=True)
class Ahead(FastV):
    name: ClassVar[str] = "ahead"
    ahead: ClassVar[bool] = True


@dataclass(frozen=True)
class Pairs(FastV):
    """What is kept is the mean of itself and the next visual token (after the last one, the first)."""

    name: ClassVar[str] = "pairs"
    merges: ClassVar[bool] = True
    weighs: ClassVar[bool] = True

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        indices, scores, _ = super().choose(v, seen, keep, scale, layer)
        every = torch.eye(seen.visual.shape[1])
        return Choice(indices, scores, ((every + every.roll(1, 1)) / 2)[indices])


KINDS = {
    FastV: Cut(topmost(0)),
    Renumbered: Cut(topmost(0), renumbers=True),
    Ahead: Cut(topmost(0), ahead=True),
    Pairs: Cut(topmost(0), pairs=True),
}


def cut(stage: Any) -> dict[int, Cut]:
    """For the slow decoder."""
    return {stage.layer: KINDS[type(stage)]._replace(choose=topmost(stage.keep))}


def entering(model: Any, inputs: Any) -> torch.Tensor:
    """The embeddings that enter the language model, features of pictures in their places."""
    found: list[Any] = []
    hook = model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: found.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        model(**inputs)
    hook.remove()
    return found[0]


def visual(ids: torch.Tensor) -> torch.Tensor:
    return (ids == IMAGE) | (ids == VIDEO)
