"""What is measured, in blocks of samples by number, and the engine that is this process."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any, NamedTuple

from vtc_llava import Settings

from .block import Row, measure
from .samples import Sample
from .settings import walk_of
from .together import Walks

Step = Callable[[Any], Any]


class Job(NamedTuple):
    """All but the model, which is loaded wherever the job is done."""

    samples: list[Sample]
    settings: list[Settings]
    batch_size: int
    max_new_tokens: int

    @property
    def blocks(self) -> int:
        return ceil(len(self.samples) / self.batch_size)

    @property
    def steps(self) -> int:
        """Of a block: all tokens, and each setting."""
        return 1 + len(self.settings)

    def walks(self, model: Any, processor: Any) -> Walks:
        return Walks([walk_of(model, processor, setting) for setting in self.settings])

    def measuring(self, model: Any, processor: Any, step: Step) -> Callable[[int], list[Row]]:
        """What makes all rows of a block; `step` is called `steps` times in each."""
        walks = self.walks(model, processor)

        def rows(number: int) -> list[Row]:
            start = number * self.batch_size
            block = list(enumerate(self.samples[start : start + self.batch_size], start))
            return measure(model, processor, block, self.settings, walks, self.max_new_tokens, step)

        return rows


Engine = Callable[[Job, Sequence[int], Step], Iterator[tuple[int, list[Row]]]]


def local(model: Any, processor: Any, job: Job, numbers: Sequence[int], step: Step) -> Iterator[tuple[int, list[Row]]]:
    """Block after block, with the rows of each."""
    measuring = job.measuring(model, processor, step)
    return ((number, measuring(number)) for number in numbers)
