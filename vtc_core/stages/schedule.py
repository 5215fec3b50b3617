"""Several stages of one language model: one after the other, each before layers of its own."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from .stage import Stage


class Cut(NamedTuple):
    """Before `layer` at most `kept` visual tokens are left, chosen by `stage`."""

    layer: int
    kept: int
    stage: Stage


def checked_schedule(stages: Sequence[Stage], depth: int, tokens: int) -> tuple[Cut, ...]:
    """The cuts of all stages in a language model of `depth` layers, by ascending layer.

    `tokens` visual tokens entered; a stage that would leave more than those before it leaves what there is.

    Raises:
        ValueError: a layer that the language model does not have; two stages before the same layer.
    """
    cuts = [Cut(layer, kept, stage) for stage in stages for layer, kept in stage.schedule(depth, tokens)]
    cuts.sort(key=lambda cut: cut.layer)
    for first, second in pairwise(cuts):
        if first.layer == second.layer:
            raise ValueError(
                f"stages must cut before different layers, got {first.stage.name!r} and {second.stage.name!r} "
                f"before layer {first.layer}"
            )
    made = []
    for cut in cuts:
        tokens = min(tokens, cut.kept)
        made.append(cut._replace(kept=tokens))
    return tuple(made)
