"""Batches of a corpus, whose pictures are on their way to be decoded before they are needed."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from .pictures import Picture

AHEAD = 2  # batches that are decoded while one is encoded

T = TypeVar("T")


class Batch(NamedTuple):
    """Neighbours in INPUT; what is skipped among them leaves the batch smaller."""

    number: int  # of the shard
    pictures: list[Picture]
    pixels: list[Future[Any]]  # of each picture: (channels height width), or Unreadable


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def running_ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same batches, asked for earlier than needed: their pictures are on the way to be decoded then."""
    waiting: deque[Batch] = deque()
    for batch in batches:
        waiting.append(batch)
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting
