"""Every method can be timed by itself, and memory is that of tensors which are alive together."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from vtc_bench import choices
from vtc_core.methods import METHODS, Choice, Method, VtcCls


@dataclass(frozen=True)
class Makes(Method):
    """Two maps of tokens x tokens one after the other, or at one time."""

    name: ClassVar[str] = "makes"
    looks_at: ClassVar[str] = "maps"
    source: ClassVar[str] = "this test"
    needs: ClassVar[tuple[str, ...]] = ("features",)

    together: bool = False

    def choose(self, v, seen, keep):
        first = seen.features @ seen.features.mT
        scores = first.transpose(1, 2).view(first.shape)[:, 0] + 1  # of a view
        if not self.together:
            del first
        scores = scores + torch.ones(seen.features.shape[1], seen.features.shape[1])[0]
        return Choice(v.select(scores, keep), scores)


@pytest.mark.parametrize(("together", "maps"), [(False, 1), (True, 2)])
def test_memory_is_of_what_is_alive_at_one_time(toy, together, maps):
    of_map = 36 * 36 * 4
    memory = choices.memory(toy, 1, 7, Makes(together))
    assert memory.largest == of_map
    assert maps * of_map <= memory.peak < maps * of_map + 4 * 36 * 8


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if not kind.progressive])
def test_every_method_chooses_of_what_it_sees(toy, name):
    (run,) = choices.runs(toy, 2, 7, [METHODS[name]()]).values()
    choice = run()
    assert choice.indices.shape == (2, 7)
    assert choice.scores.shape == (2, 36)


def test_what_is_seen_is_not_counted(toy):
    assert choices.memory(toy, 1, 7, VtcCls()).peak < 10 * 36 * 8
