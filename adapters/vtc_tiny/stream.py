"""Training batches: fresh scenes, drawn ahead of the training by one worker process."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch.utils.data import DataLoader, Dataset
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from .scenes import Scene, scene


def pixel_values(scenes: list[Scene]) -> Float[torch.Tensor, "batch 3 height width"]:
    """What the shipped image processor makes of 96 x 96 pictures (which it neither resizes nor crops)."""
    pixels = torch.from_numpy(np.stack([np.asarray(s.image) for s in scenes])).float() / 255
    return ((pixels - torch.tensor(OPENAI_CLIP_MEAN)) / torch.tensor(OPENAI_CLIP_STD)).permute(0, 3, 1, 2).contiguous()


T = TypeVar("T")


class _Scenes(Dataset):
    def __init__(self, seeds: range):
        self.seeds = seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> Scene:
        return scene(self.seeds[index])


def batches(seeds: range, batch: int, collate: Callable[[list[Scene]], T]) -> Iterator[T]:
    """The scenes of the seeds, in order, `batch` at a time, as `collate` makes them."""
    yield from DataLoader(_Scenes(seeds), batch, collate_fn=collate, num_workers=1, prefetch_factor=8)
