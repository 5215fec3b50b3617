"""The functions of vtc_scenes.yaml: from numbers of scenes to questions, and to pictures."""

from typing import Any

from datasets import Dataset
from PIL.Image import Image

import vtc_tiny


def asked(ranges: Dataset) -> Dataset:
    """For each row the questions about `scenes` scenes from the seed `first` on, eight a scene: quality.py's."""
    seeds = [seed for row in ranges for seed in range(row["first"], row["first"] + row["scenes"])]
    return Dataset.from_list(
        [
            {"seed": seed, "kind": question.kind, "question": question.text, "answer": question.answer}
            for seed in seeds
            for question in vtc_tiny.questions(vtc_tiny.scene(seed))
        ]
    )


def pictures(doc: dict[str, Any]) -> list[Image]:
    return [vtc_tiny.scene(doc["seed"]).image]
