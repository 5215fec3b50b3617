"""Questions about pictures: what a sample is, and how samples are drawn from data of which some rows are bad."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from vtc_encode import Refused
from vtc_pictures import Unreadable, read_file, short


class Sample(NamedTuple):
    """A question about a picture; `answer` is what is right, where that is known."""

    id: str
    picture: Callable[[], Image.Image]  # `Unreadable` where there is none
    question: str
    answer: str | None = None


class Skip(NamedTuple):
    id: str
    reason: str


@runtime_checkable
class Data(Protocol):
    """Samples by number. Which rows are bad is known of some at once, of pictures when they are opened."""

    name: str

    def __len__(self) -> int: ...

    def read(self, numbers: Sequence[int]) -> Iterable[Sample | Skip]:
        """These rows, in this order."""
        ...


class Drawn(NamedTuple):
    """What `draw` found in data of this name."""

    name: str
    samples: list[Sample]
    skipped: list[Skip]
    digest: str  # of questions, answers and pixels: 32 hexadecimal digits


def draw(data: Data, count: int, seed: int) -> Drawn:
    """`count` good samples, or all there are, in an order that the seed alone decides; and the bad rows met on the way.

    Raises:
        Refused: no good row at all.
    """
    samples: list[Sample] = []
    skipped: list[Skip] = []
    digest = hashlib.blake2b(digest_size=16)
    order = iter(np.random.default_rng(seed).permutation(len(data)).tolist())
    while len(samples) < count and (numbers := list(islice(order, count - len(samples)))):
        for row in data.read(numbers):
            try:
                sample, pixels = _looked_at(row)
            except Unreadable as error:
                skipped.append(Skip(row.id, str(error)))
                continue
            samples.append(sample)
            digest.update(repr((sample.question, sample.answer, pixels)).encode("utf-8", "backslashreplace"))
    if not samples:
        first = f"the first: {skipped[0].id} {skipped[0].reason}" if skipped else "there is none"
        raise Refused(short(f"{data.name} has no good row among {len(data)}; {first}"))
    return Drawn(data.name, samples, skipped, digest.hexdigest())


def _looked_at(row: Sample | Skip) -> tuple[Sample, str]:
    if isinstance(row, Skip):
        raise Unreadable(row.reason)
    if not row.question.strip():
        raise Unreadable("has an empty question")
    if "<image>" in row.question:
        raise Unreadable("has <image> in its question, which is put before it by itself")
    picture = row.picture()
    return row, f"{picture.size} {hashlib.blake2b(picture.tobytes(), digest_size=16).hexdigest()}"


class Given:
    """Samples that are there already: `Sample` values, or mappings with image, question and, if known, answer.

    An image is a `PIL.Image`, or where its file is.
    """

    def __init__(self, samples: Iterable[Sample | Mapping[str, Any]], name: str = "samples") -> None:
        self.name = name
        self.samples = [sample if isinstance(sample, Sample) else _given(i, sample) for i, sample in enumerate(samples)]

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, numbers: Sequence[int]) -> Iterable[Sample]:
        return [self.samples[number] for number in numbers]


def _given(number: int, given: Mapping[str, Any]) -> Sample:
    if missing := {"image", "question"} - set(given):
        raise ValueError(f"sample {number} must have image and question, it lacks {' and '.join(sorted(missing))}")
    image, answer = given["image"], given.get("answer")
    picture = image.convert("RGB").copy if isinstance(image, Image.Image) else partial(read_file, image)
    return Sample(str(given.get("id", number)), picture, given["question"], None if answer is None else str(answer))
