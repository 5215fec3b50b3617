"""The processor's side: as many placeholders as the patched model makes features, known from sizes alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transformers.processing_utils import MultiModalData

from .budget import num_visual_tokens
from .geometry import Layout
from .settings import Settings


@dataclass(frozen=True)
class Placeholders:
    """In place of a processor's `replace_image_token`, `replace_video_token` and `_get_num_multimodal_tokens`.

    Holds no model and no configuration: saving a processor copies its attributes, and a deepcopy of it is one.
    """

    strings: Mapping[str, str]  # "image" -> "<image>"
    layouts: Mapping[str, Callable[..., Layout]]
    settings: Settings

    @classmethod
    def of(
        cls, processor: Any, kinds: Iterable[str], layouts: Mapping[str, Callable[..., Layout]], settings: Settings
    ) -> "Placeholders":
        """For a processor that is to be patched."""
        return cls({kind: getattr(processor, f"{kind}_token") for kind in kinds}, layouts, settings)

    def overrides(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        """The processor's methods that are replaced, and what by."""
        for kind in self.strings:
            yield f"replace_{kind}_token", getattr(self, f"replace_{kind}_token")
        yield "_get_num_multimodal_tokens", self.count

    def replace_image_token(self, image_inputs: Mapping[str, Any], image_idx: int, **kwargs: Any) -> str:
        size: Iterable[Any] = image_inputs["image_sizes"][image_idx] if "image_sizes" in image_inputs else ()
        together = [n for n in image_inputs.get("batch_num_images", ()) for _ in range(int(n))]  # LLaVA-OneVision
        layout = self.layouts["image"](*map(int, size), alone=not together or int(together[image_idx]) == 1)
        return self.strings["image"] * num_visual_tokens(layout, self.settings.budget)

    def replace_video_token(self, video_inputs: Mapping[str, Any], video_idx: int, **kwargs: Any) -> str:
        frames = len(video_inputs["pixel_values_videos"][video_idx])
        return self.strings["video"] * num_visual_tokens(self.layouts["video"](frames), self.settings.budget)

    def count(self, image_sizes: list | None = None, video_sizes: list | None = None, **kwargs: Any) -> MultiModalData:
        """What serving engines ask before they see anything: pictures by (height, width), videos by (frames, ...)."""
        counts: dict[str, list[int]] = {}
        if image_sizes is not None:
            pictures = [self.layouts["image"](*map(int, size)) for size in image_sizes]
            counts["num_image_tokens"] = [num_visual_tokens(layout, self.settings.budget) for layout in pictures]
            counts["num_image_patches"] = [1] * len(pictures)  # rows of pixel_values, as the stock processors have it
        if video_sizes is not None:
            videos = [self.layouts["video"](int(size[0])) for size in video_sizes]
            counts["num_video_tokens"] = [num_visual_tokens(layout, self.settings.budget) for layout in videos]
        return MultiModalData(**counts)
