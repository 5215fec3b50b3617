"""The embedded scenes as data: a drawn picture each, one of its eight questions, and the right answer."""

from collections.abc import Iterable, Sequence

import vtc_tiny

from .samples import Sample


class Scenes:
    """Held-out scenes, by their seeds."""

    def __init__(self, seeds: Sequence[int] = vtc_tiny.HELD_OUT_SEEDS) -> None:
        self.name = "the embedded scenes"
        self.seeds = seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def read(self, numbers: Sequence[int]) -> Iterable[Sample]:
        for number in numbers:
            scene = vtc_tiny.scene(self.seeds[number])
            asked = vtc_tiny.questions(scene)[number % 8]
            yield Sample(f"scene {scene.seed}", scene.image.copy, asked.text, asked.answer)
