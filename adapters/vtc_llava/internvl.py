"""The family `internvl`: InternVL (2.5, 3, 3.5) in transformers' form; pictures in tiles and a thumbnail, and videos.

- Pixel shuffle makes one token of four patches: what competes are these, see `vtc_core.shuffled`. `keep` counts them.
- The thumbnail comes last, and shows the whole picture: with `total` it gets its part first, as a base tile does.
- Text stands between the frames of a video ("Frame2: "), so that each has the same part of a `total`, to one token.
- The stock model is given tiles in a row and not told whose they are. The patched processor says it: `image_sizes` has
  the height and width of every picture, and (frames, 0) for a video, in the order of the prompts. Tiles without it are
  each a picture of its own, which is enough for `keep`.

Before transformers 5.18 `generate` repeats tiles one by one for beams and `num_return_sequences`: of pictures of
several tiles both are wrong there, in the stock model too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import InternVLForConditionalGeneration
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

from .family import Family
from .features import Features
from .geometry import Layout, frames, side_of, tiled
from .internvl_placeholders import TilePlaceholders


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
