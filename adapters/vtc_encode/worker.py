"""Pictures in, rows out: decoding in threads next to the encoder."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.metadata import version
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vtc_core.methods import refuse_without_prompt, saved
from vtc_pictures import MAX_BYTES, MAX_PIXELS, Room, Unreadable, count_bytes, count_pixels, read_picture, short
from vtc_torch import Pruned, PrunedEncoder, held, pack
from vtc_torch.configuration import read_config
from vtc_torch.loading import tower_config
from vtc_torch.processors import read_image_processor

from .batches import Batch, batched, running_ahead
from .pictures import Picture
from .preprocessing import pixel_values, target
from .recipe import Recipe
from .refused import Refused
from .shards import Outcome, Rows, Settings
from .sources import Source


class Worker:
    """An encoder and the checkpoint's own image processor.

    Batches are a function of positions in INPUT alone, never across shards: a resumed run, and any number of workers,
    compute what one uninterrupted run computes, to the bit where machine and number of computing threads are the same
    (torch rounds differently with 1 and with 2). Otherwise, and with another `batch`, features differ by rounding
    (2e-5 in float32) and scores (1e-6), and what is kept only where scores tie that closely at the cut.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.files, self.decoded = Room(MAX_BYTES), Room(MAX_PIXELS)  # what all threads have in memory at once
        if recipe.packed and recipe.device != "cpu":
            raise Refused(f"--packed lays weights out for a CPU, got --device {recipe.device}")
        try:
            refuse_without_prompt(recipe.method, "a corpus is encoded before anything is asked")
        except ValueError as error:
            raise Refused(str(error)) from error
        if recipe.method.merges_projected:
            raise Refused(
                f"method {recipe.method.name!r} mixes projected tokens, and vtc encode stores the tower's features, "
                "before the projector"
            )
        # Not torchvision, whose resizing differs: the same pixels on every machine.
        config = read_config(recipe.checkpoint)
        vision_config = tower_config(config, recipe.checkpoint)
        held.check_tower(recipe.checkpoint, config)
        self.processor: Any = read_image_processor(recipe.checkpoint, vision_config, backend="pil")
        if getattr(self.processor, "crop_to_patches", False):  # InternVL's: rows are of one length here
            self.processor.crop_to_patches = False
        self.encoder = PrunedEncoder.from_pretrained(
            recipe.checkpoint,
            recipe.keep,
            recipe.method,
            project="projected" in recipe.method.needs,
            dtype=getattr(torch, recipe.computed),
        )
        resized = target(self.processor, 1, 1)
        if recipe.fast_decode and resized is None:
            raise Refused(
                f"--fast-decode: what the image processor of {recipe.checkpoint} resizes to is not known before"
            )
        self.least = 2 * max(resized) if recipe.fast_decode and resized else 0
        pixels = self._pixels_of(Image.new("RGB", (64, 48)))
        if pixels.dim() != 3:
            raise Refused(
                f"the image processor of {recipe.checkpoint} makes several tiles of a picture; "
                "corpora are encoded with one tile a picture (CLIP, LLaVA-1.5, InternVL without its crops)"
            )

    @cached_property
    def weights(self) -> str:
        """The digest of tower and projector."""
        digest = hashlib.blake2b(digest_size=16)
        projector = self.encoder.projector.state_dict() if self.encoder.projector else {}
        for name, tensor in sorted({**self.encoder.tower.state_dict(), **projector}.items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()

    def settings(self, source: Source, shard_size: int) -> Settings:
        encoder = self.encoder
        config: Any = encoder.tower.config
        return Settings(
            checkpoint=self.recipe.checkpoint,
            weights=self.weights,
            keep=encoder.keep,
            tokens=encoder.tokens,
            dim=config.hidden_size * len(encoder.feature_layers) * encoder.shuffle**2,
            method=saved(encoder.method),
            layers=encoder.layers,
            feature_layer=encoder.feature_layers,
            projected=False,
            decoded="fast" if self.recipe.fast_decode else "whole",
            computed=self.recipe.computed + ", packed" * self.recipe.packed,
            dtype=self.recipe.dtype,
            input=source.digest,
            pictures=source.count,
            shard_size=shard_size,
            vtc=version("vtc-cls"),
        )

    def encode(
        self, source: Source, settings: Settings, numbers: Iterable[int], step: Callable[[int], None]
    ) -> Iterator[tuple[Outcome, Rows]]:
        """Shard after shard; `step` is told how many pictures are done. Decoding runs ahead, across shards too.

        Raises:
            Unreadable: a picture, with its name, where the recipe is strict.
            OSError: INPUT cannot be read, as opposed to a picture in it that is missing or may not be read.
        """
        self.encoder.to(self.recipe.device)
        if self.recipe.packed and self.weights:  # whose digest cannot be had afterwards
            pack(self.encoder.tower)
        with ThreadPoolExecutor(self.recipe.threads) as pool:
            batches = (
                Batch(number, pictures, [pool.submit(self._pixels, picture) for picture in pictures])
                for number in numbers
                for pictures in batched(source.read(*settings.span(number)), self.recipe.batch)
            )
            for number, of_shard in groupby(running_ahead(batches), key=lambda batch: batch.number):
                yield self._shard(number, of_shard, settings, step)

    def _shard(
        self, number: int, batches: Iterable[Batch], settings: Settings, step: Callable[[int], None]
    ) -> tuple[Outcome, Rows]:
        ids, skipped, seconds = [], [], 0.0
        features = [np.empty((0, settings.keep, settings.dim), settings.dtype)]
        indices = [np.empty((0, settings.keep), np.int32)]
        scores = [np.empty((0, settings.tokens), np.float32)]
        for batch in batches:
            pixels = [future.result() for future in batch.pixels]
            readable = [i for i, each in enumerate(pixels) if not isinstance(each, Unreadable)]
            if readable:
                start = time.perf_counter()
                encoded = self._encoded(torch.stack([pixels[i] for i in readable]))
                seconds += time.perf_counter() - start
                finite = np.isfinite(encoded[0]).all(axis=(1, 2))
                for i in np.array(readable)[~finite]:
                    helps = ": try --dtype float32" if self.recipe.dtype == "float16" else ""
                    pixels[i] = Unreadable(f"has features that are not finite in {self.recipe.dtype}{helps}")
                for column, rows in zip((features, indices, scores), encoded, strict=True):
                    column.append(rows[finite])
            for picture, each in zip(batch.pictures, pixels, strict=True):
                if not isinstance(each, Unreadable):
                    ids.append(picture.id)
                elif self.recipe.strict:
                    raise Unreadable(f"{picture.id} {each}")
                else:
                    skipped.append((picture.id, short(each)))
            step(len(batch.pictures))
        rows = Rows(ids, np.concatenate(features), np.concatenate(indices), np.concatenate(scores), skipped)
        return Outcome(number, len(ids), len(skipped), seconds), rows

    @torch.inference_mode()
    def _encoded(self, pixels: Float[Tensor, "batch channels height width"]) -> tuple[np.ndarray, ...]:
        """As they are stored: features (batch keep dim), indices (batch keep), scores (batch tokens)."""
        looked = self.encoder.look(pixels.to(self.recipe.device, getattr(torch, self.recipe.computed)))
        choice = looked.choose(self.recipe.keep)
        pruned = Pruned(looked.feed(choice), choice.indices, choice.scores)
        features = pruned.features.to(getattr(torch, self.recipe.dtype))
        return features.cpu().numpy(), pruned.indices.int().cpu().numpy(), pruned.scores.float().cpu().numpy()

    def _pixels(self, picture: Picture) -> Tensor | Unreadable:
        """In a thread; Pillow works without the interpreter's lock."""
        try:
            with (
                picture.open() as file,
                self.files.hold(count_bytes(file)),  # always first: nobody who has pixels waits for bytes
                self.decoded.hold(count_pixels(file)),
            ):
                return self._pixels_of(read_picture(file, self.least))
        except Unreadable as error:
            return error

    def _pixels_of(self, image: Image.Image) -> Tensor:
        return pixel_values(self.processor, image)
