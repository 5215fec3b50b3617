"""The family `internvl`: InternVL (2.5, 3, 3.5) in transformers' form; pictures in tiles and a thumbnail, and videos.

- Pixel shuffle makes one token of four patches: what competes are these, see `vtc_core.shuffled`. `keep` counts them.
- The thumbnail comes last, and shows the whole picture: with `total` it gets its part first, as a base tile does.
- Text stands between the frames of a video ("Frame2: "), so that each has the same part of a `total`, to one token.
- The stock model is given tiles in a row and not told whose they are. The patched processor says it: `image_sizes` has
  the height and width of every picture, and (frames, 0) for a video, in the order of the prompts. Tiles without it are
  each a picture of its own, which is enough for `keep`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from transformers import InternVLForConditionalGeneration
from transformers.image_utils import get_image_size, make_flat_list_of_images, to_numpy_array
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas
from transformers.processing_utils import MultiModalData

from .budget import num_by_tile, num_visual_tokens
from .family import Family
from .features import Features
from .geometry import Layout, frames, side_of, tiled
from .placeholders import Placeholders

SIZES = "image_sizes"  # a name that the stock model takes, and does nothing with


def layouts(config: Any, image_processor: Any = None) -> Mapping[str, Callable[..., Layout]]:
    side, pixels = side_of(config), config.vision_config.image_size[0]
    few, many = (getattr(image_processor, f"{end}_patches", stock) for end, stock in (("min", 1), ("max", 12)))
    picture = partial(cut, side=side, image_size=pixels, few=few, many=many)
    return {"image": picture, "video": partial(frames, side=side, apart=True)}


def cut(
    height: int = 0, width: int = 0, alone: bool = True, *, side: int, image_size: int, few: int, many: int
) -> Layout:
    """A picture of this size in `few` to `many` tiles of image_size pixels; without a size, one tile."""
    if not (height and width) or many <= 1:
        return tiled(1, 1, side=side)
    columns, rows = get_optimal_tiled_canvas((height, width), (image_size, image_size), few, many)
    return tiled(rows, columns, side=side)


def check(config: Any) -> None:
    layer, vision = config.vision_feature_layer, config.vision_config
    if not isinstance(layer, int):
        raise ValueError(f"vision_feature_layer must be one number, as the stock model takes it, got {layer!r}")
    if layer == vision.num_hidden_layers and not vision.use_mean_pooling:
        raise ValueError(f"vision_feature_layer must be -1 where the tower has a last norm, got {layer}")


# --- the processor's side ---------------------------------------------------------------------------------------------


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


# --- the model's side -------------------------------------------------------------------------------------------------


class Sized(NamedTuple):
    """Pixel values on their way through the stock `forward`, which would leave the sizes behind."""

    pixel_values: Tensor
    sizes: Any


class TileFeatures(Features):
    """Of tiles in a row."""

    def overrides(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        yield from super().overrides()
        # accelerate's hooks call the stock method by another name
        yield "_old_forward" if hasattr(self.handle.model.model, "_hf_hook") else "forward", self.forward

    def forward(self, *args: Any, pixel_values: Tensor | None = None, image_sizes: Any = None, **kwargs: Any) -> Any:
        model = self.handle.model.model
        sized: Any = None if pixel_values is None else Sized(pixel_values, image_sizes)
        return type(model).forward(model, *args, pixel_values=sized, **kwargs)

    def get_image_features(
        self,
        pixel_values: Tensor | Sized,
        image_sizes: Tensor | None = None,
        vision_feature_layer: Any = None,
        vision_feature_select_strategy: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """As the stock method; `pooler_output` is (pictures, length, language), or (tokens, 1, language) of unequal."""
        pixels, sizes = pixel_values if isinstance(pixel_values, Sized) else (pixel_values, image_sizes)
        chosen = {
            "vision_feature_layer": vision_feature_layer,
            "vision_feature_select_strategy": vision_feature_select_strategy,
        }
        return super().get_image_features(pixels, sizes, **chosen, **kwargs)

    def _pictures(self, pixels: Tensor, sizes: Any, numbers: Any) -> list[Layout]:
        if sizes is None and self.handle.settings.total is not None:
            raise ValueError(
                "image_sizes is needed with total, to know which tiles are one picture: give all that the processor "
                "makes which was given to vtc_llava.patch"
            )
        if sizes is None:
            return super()._pictures(pixels, None, None)
        rows = [tuple(map(int, size)) for size in sizes]
        return [
            self.handle.layouts["image" if width else "video"](*(x for x in (height, width) if x))
            for height, width in rows
        ]

    def _name(self, kind: str, layouts: Sequence[Layout]) -> str:
        return "tiles" if all(layout.tiles == 1 for layout in layouts) else "pictures and videos"

    def _output(self, tokens: Any, return_dict: bool | None) -> Any:
        if len({len(one) for one in tokens}) > 1:
            tokens = list(torch.cat(tokens)[:, None])
        return super()._output(tokens, return_dict)


FAMILY = Family(
    InternVLForConditionalGeneration,
    {"image": "vision_tower"},
    layouts,
    stacked=True,
    check=check,
    features=TileFeatures,
    placeholders=TilePlaceholders,
    cutting={"crop_to_patches": True},
)
