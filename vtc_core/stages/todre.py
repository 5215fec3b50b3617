"""ToDRE, its second stage: once text and picture no longer look at each other, the picture goes."""

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from array_api_compat import array_namespace

from vtc_core import arguments
from vtc_core.methods import Choice
from vtc_core.methods.parts import arange, at, mask

from .attention import mean_map
from .budgets import before
from .stage import EMPTY, Running, Stage


@dataclass(frozen=True)
class ToDreStage2(Stage):
    """All visual tokens are dropped where neither text nor picture attends to the other (ToDRE, 2505.18757, 3.3).

        A      mean_h softmax(q . k / sqrt(d)), causal, of the layer before floor(share * depth)
        a_tv   sum_{i text, j visual} A_ij / sum_{i text, all j} A_ij;   a_vt the other way round
        left   none if a_tv < tau and a_vt < tau, else all

    Positions stay. A prompt without text has nobody who looks: its tokens are dropped for any `tau` above 0.

    Deviations: written from the paper, no code of the authors was seen; it does not say whether the layer's own
    attention is meant or, as here, the one of the layer before.
    """

    name: ClassVar[str] = "todre"
    looks_at: ClassVar[str] = "attention between text and picture"
    source: ClassVar[str] = "arXiv 2505.18757"
    needs: ClassVar[tuple[str, ...]] = ("query", "keys")
    rows: ClassVar[str] = "all"
    adaptive: ClassVar[bool] = True

    share: int | float = 0.875
    tau: int | float = 0.1

    def __post_init__(self) -> None:
        arguments.number("share", self.share, 0.0, 1.0)
        arguments.number("tau", self.tau, 0.0, 1.0)

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        return ((before(int(self.share * depth), depth), tokens),)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        xp, length = array_namespace(seen.keys), seen.keys.shape[2]
        every = xp.broadcast_to(arange(length, seen.visual)[None, :], (seen.visual.shape[0], length))
        rows = mean_map(seen.query, seen.keys, scale, every)
        visual = xp.astype(mask(seen.visual, length), rows.dtype)
        text = 1 - visual
        sees = xp.sum(rows * visual[:, None, :], axis=2)  # of each token, how much it attends to visual ones
        tokens, others = xp.sum(visual, axis=1), xp.sum(text, axis=1)
        from_text = xp.sum(sees * text, axis=1) / xp.where(others > 0, others, 1.0)
        from_picture = xp.sum((1 - sees) * visual, axis=1) / tokens
        dropped = (from_text < self.tau) & (from_picture < self.tau)
        scores = at(v, xp.mean(rows, axis=1), seen.visual)
        return Choice(xp.where(dropped[:, None], EMPTY, arange(keep, seen.visual)[None, :]), scores)
