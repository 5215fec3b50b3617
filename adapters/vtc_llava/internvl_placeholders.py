"""InternVL's processor: writes placeholders of every tile, and tells the model whose tiles come in which order."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from transformers.image_utils import get_image_size, make_flat_list_of_images, to_numpy_array
from transformers.processing_utils import MultiModalData

from .budget import num_by_tile, num_visual_tokens
from .geometry import tiled
from .placeholders import Placeholders

SIZES = "image_sizes"  # a name that the stock model takes, and does nothing with


class Written(str):
    """Placeholders of one picture or video, its size, and the inputs that the processor makes beside them."""

    size: Sequence[int]
    inputs: Any

    def of(self, size: Sequence[int], inputs: Any) -> "Written":
        self.size, self.inputs = size, inputs
        return self


@dataclass(frozen=True)
class TilePlaceholders(Placeholders):
    """Holds the processor: which of its inputs are whose, it knows only while it works."""

    processor: Any

    @classmethod
    def of(cls, processor: Any, kinds: Any, layouts: Any, settings: Any) -> "TilePlaceholders":
        words = {name: getattr(processor, f"{name}_token") for name in ("image", "start_image", "end_image")}
        return cls(words, layouts, settings, processor)

    def overrides(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        yield "replace_image_token", self.replace_image_token
        yield "replace_video_token", self.replace_video_token
        yield "_process_images", self.process_images
        yield "get_text_with_replacements", self.get_text_with_replacements
        yield "_get_num_multimodal_tokens", self.count

    def process_images(self, images: Any, **kwargs: Any) -> tuple[Any, list[str]]:
        inputs = self.processor.image_processor(images, **kwargs)
        flat: Any = make_flat_list_of_images(images)
        sizes = [_size(image) for image in flat]
        return inputs, [
            self._picture(inputs, *size, int(n)) for size, n in zip(sizes, inputs["num_patches"], strict=True)
        ]

    def _picture(self, inputs: Any, height: int, width: int, tiles: int) -> str:
        layout = self.layouts["image"](height, width)
        if layout.tiles != tiles:
            raise ValueError(
                f"a picture of {width} x {height} pixels was cut into {tiles} tiles, and the patched model counts with "
                f"{layout.tiles}: crop_to_patches, min_patches, max_patches and size are fixed while patched; set them "
                "on processor.image_processor before"
            )
        return Written(self._run(num_visual_tokens(layout, self.settings.budget))).of((height, width), inputs)

    def replace_image_token(self, image_inputs: Mapping[str, Any], image_idx: int, **kwargs: Any) -> str:
        """By the number of tiles, which is all that counts here."""
        layout = tiled(max(1, int(image_inputs["num_patches"][image_idx]) - 1), 1, side=self._side)
        return self._run(num_visual_tokens(layout, self.settings.budget))

    def replace_video_token(self, video_inputs: Mapping[str, Any], video_idx: int, **kwargs: Any) -> str:
        layout = self.layouts["video"](len(video_inputs["pixel_values_videos"][video_idx]))
        counts = enumerate(num_by_tile(layout, self.settings.budget), 1)
        text = "\n".join(f"Frame{number}: {self._run(count)}" for number, count in counts)
        return Written(text).of((layout.tiles, 0), video_inputs)

    def get_text_with_replacements(self, *args: Any, **kwargs: Any) -> tuple[list[str], list[Any]]:
        """As the stock method; notes whose tiles come in which order."""
        text, offsets = type(self.processor).get_text_with_replacements(self.processor, *args, **kwargs)
        written = [found["replacement"] for sample in offsets for found in sample]
        if written:
            written[0].inputs[SIZES] = [list(one.size) for one in written]
        return text, offsets

    def count(self, image_sizes: list | None = None, video_sizes: list | None = None, **kwargs: Any) -> MultiModalData:
        """With the tokens around a picture; of videos nothing, as the stock processor."""
        if image_sizes is None:
            return MultiModalData()
        pictures = [self.layouts["image"](*map(int, size)) for size in image_sizes]
        tokens = [2 + num_visual_tokens(layout, self.settings.budget) for layout in pictures]
        return MultiModalData(num_image_tokens=tokens, num_image_patches=[layout.tiles for layout in pictures])

    @property
    def _side(self) -> int:
        return math.isqrt(len(self.layouts["image"]().tile))

    def _run(self, count: int) -> str:
        return f"{self.strings['start_image']}{self.strings['image'] * count}{self.strings['end_image']}"


def _size(image: Any) -> tuple[int, int]:
    """Height and width in pixels."""
    return (image.height, image.width) if isinstance(image, Image.Image) else get_image_size(to_numpy_array(image))
