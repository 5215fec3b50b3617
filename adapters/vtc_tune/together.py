"""One walk of the tower for several methods and all budgets: each is handed what it would have seen alone."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from vtc_core.methods import Method, Seen
from vtc_core.methods.method import ATTENTION
from vtc_llava import Handle
from vtc_torch.progressive import ProgressiveWalk
from vtc_torch.walk import Looked, Walk


class Onlookers(Method):
    """In a walk's place of a method: it needs to see what several methods need, and chooses nothing."""

    name: ClassVar[str] = "onlookers"
    looks_at: ClassVar[str] = "what several methods look at"
    source: ClassVar[str] = "none"


def joint(walks: Sequence[Walk]) -> Walk:
    """A walk that notes whatever one of them notes."""
    if len({walk.method for walk in walks}) == 1:
        return walks[0]
    needs = tuple(dict.fromkeys(name for walk in walks for name in walk.method.needs))
    merges = any(walk.method.merges for walk in walks)
    seer = type("These", (Onlookers,), {"needs": needs, "merges": merges})()
    layers = sorted({layer for walk in walks for layer in walk.layers})
    return walks[0]._replace(method=seer, layers=tuple(layers))


def parties(walks: Sequence[Walk]) -> list[list[Walk]]:
    """Those that can go together.

    Keys are those of the latest layer that is noted, so methods that need the keys of different layers go apart; and
    what is noted of sinks depends on the method's own parameters, so such a method goes alone.
    """
    groups: dict[Any, list[Walk]] = {}
    for walk in walks:
        if "sink_attention" in walk.method.needs:
            groups[walk.method] = [walk]
        elif "keys" in walk.method.needs:
            groups.setdefault(max(walk.layers), []).append(walk)
    with_keys = [(layer, party) for layer, party in groups.items() if isinstance(layer, int)]
    for walk in walks:
        if {"keys", "sink_attention"}.isdisjoint(walk.method.needs):
            fits = (party for layer, party in with_keys if max(walk.layers, default=0) <= layer)
            next(fits, groups.setdefault(None, [])).append(walk)
    return [party for party in groups.values() if party]


def as_alone(looked: Looked, joint: Walk, walk: Walk) -> Looked:
    """What `walk` by itself would have seen of the same pictures."""
    at = [joint.layers.index(layer) for layer in walk.layers]

    def own(name: str, field: Tensor) -> Any:
        if name in ("places", "tile", "features"):
            return field
        if name not in walk.method.needs:
            return None
        return field[:, :, at] if name in ATTENTION else field

    fields = {name: own(name, field) for name, field in looked.seen._asdict().items() if field is not None}
    return Looked(walk.method, Seen(**fields), looked.finish)


class Walks:
    """What was seen of one batch of pictures, for any number of patches of one model.

    Attributes:
        a_batch: how often the tower is walked for a batch, all methods and budgets together.
    """

    def __init__(self, walks: Sequence[Walk | ProgressiveWalk]) -> None:
        self.joint: dict[Walk, Walk] = {}
        for party in parties(list(dict.fromkeys(walk for walk in walks if isinstance(walk, Walk)))):
            together = joint(party)
            self.joint |= {walk: together for walk in party}
        self.looked: dict[Walk, Looked] = {}
        progressive = sum(isinstance(walk, ProgressiveWalk) for walk in walks)
        self.a_batch = len(set(self.joint.values())) + progressive

    def next_batch(self) -> None:
        """Forget the pictures."""
        self.looked.clear()

    def lend(self, handle: Handle) -> None:
        """Let a patch look at what was seen already. Until `next_batch` its model must be shown the same pictures."""
        walk = handle.walk

        def look(tower: Any, pixel_values: Tensor, project: Any = None) -> Looked:
            if isinstance(walk, ProgressiveWalk):  # which sees less, depending on the budget
                return walk(tower, pixel_values, project)
            together = self.joint[walk]
            if together not in self.looked:
                self.looked[together] = together(tower, pixel_values, project)
            return as_alone(self.looked[together], together, walk)

        lent: Any = look
        handle.walk = lent
