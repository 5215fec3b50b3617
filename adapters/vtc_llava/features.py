"""The model's side: in place of the methods that make features of pictures and videos."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vtc_core.methods import all_tokens
from vtc_torch import Pruned
from vtc_torch.walk import Looked
from vtc_torch.wrapping import device_of

from . import packing
from .budget import num_visual_tokens
from .geometry import Layout
from .handle import Handle


@dataclass(frozen=True, eq=False)
class Features:
    """Its methods replace methods of the model.

    They belong to this small object, so that a `deepcopy` of a patched model has methods of the copy. Their parameters
    have the names of the stock methods', of all families and versions: `generate` looks at the names before it calls.
    """

    handle: Handle

    def overrides(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Methods of `model.model` that are replaced, and what by."""
        for kind in self.handle.family.towers:
            yield f"get_{kind}_features", getattr(self, f"get_{kind}_features")
        yield "get_placeholder_mask", self.get_placeholder_mask

    def get_image_features(
        self,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        *,
        pixel_values_images: Tensor | None = None,
        batch_num_images: Tensor | None = None,
        vision_feature_layer: Any = None,
        vision_feature_layers: Any = None,
        vision_feature_select_strategy: str | None = None,
        vision_aspect_ratio: str | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """As the stock method: `pooler_output` has the tokens that are fed of each picture, (length, language dim)."""
        self._fixed("vision_feature_layer", vision_feature_layer)
        self._fixed("vision_feature_layers", vision_feature_layers)
        self._fixed("vision_feature_select_strategy", vision_feature_select_strategy)
        self._fixed("vision_aspect_ratio", vision_aspect_ratio)
        _refuse_interpolation(kwargs)
        pixels = pixel_values_images if pixel_values is None else pixel_values
        if pixels is None:
            raise TypeError("pixel_values must be a tensor, got None")
        if not self.handle.family.several:
            tokens = self._of_whole_pictures(pixels)
            return self._output(tokens if self.handle.family.stacked else list(tokens), return_dict)
        layouts = self._pictures(pixels, image_sizes, batch_num_images)
        if pixels.dim() == 5:  # pictures of fewer tiles are filled up
            pixels = torch.cat([picture[: layout.tiles] for picture, layout in zip(pixels, layouts, strict=True)])
        return self._output(self._packed("image", pixels, layouts), return_dict)

    def get_video_features(
        self,
        pixel_values_videos: Tensor,
        vision_feature_layer: Any = None,
        vision_feature_select_strategy: str | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """As the stock method: `pooler_output` is (videos, length, language dim)."""
        self._fixed("vision_feature_layer", vision_feature_layer)
        self._fixed("vision_feature_select_strategy", vision_feature_select_strategy)
        _refuse_interpolation(kwargs)
        layouts = [self.handle.layouts["video"](pixel_values_videos.shape[1])] * len(pixel_values_videos)
        videos = self._packed("video", pixel_values_videos.flatten(0, 1), layouts)
        if self.handle.family.forward_ends_videos:
            videos = [video[:-1] for video in videos]
        return self._output(torch.stack(videos), return_dict)

    def get_placeholder_mask(self, *args: Any, **kwargs: Any) -> Any:
        """As the stock method, with a message that names what may have been forgotten."""
        model = self.handle.model.model
        kind = "image" if kwargs.get("video_features") is None else "video"
        try:
            masks = type(model).get_placeholder_mask(model, *args, **kwargs)
        except ValueError as error:
            self.handle.visual = None
            raise ValueError(self._mismatch(kind, args[0] if args else kwargs.get("input_ids"))) from error
        mask = masks[kind == "video"] if isinstance(masks, tuple) else masks
        self.handle.note_placeholders(kind, mask[..., 0])
        return masks

    def _mismatch(self, kind: str, ids: Tensor | None) -> str:
        layouts, budget = self.handle.seen[kind], self.handle.settings.budget
        name = self._name(kind, layouts)
        pruned, stock = ([num_visual_tokens(x, budget) for x in layouts], [len(x.tile) for x in layouts])
        there = None if ids is None else int((ids == getattr(self.handle.model.config, f"{kind}_token_id")).sum())
        has = f"has {there} placeholders" if there is not None else "has another number of placeholders"
        count = f"the prompt {has}, the {len(layouts)} pruned {name} make {_each(pruned)}"
        unpatched = (
            f"a processor that is not patched writes {_each(stock)}: use the one that was given to "
            f"vtc_llava.patch(model, processor, {budget})"
        )
        if there == sum(stock):
            return f"{count}; {unpatched}"
        cut = f"either the ids were cut (truncation, max_length), or {name} were given twice, or too few of them"
        return f"{count}; {cut}; or, if not that, {unpatched}"

    def _name(self, kind: str, layouts: Sequence[Layout]) -> str:
        return {"image": "pictures", "video": "videos"}[kind]

    def _fixed(self, name: str, value: Any) -> None:
        """The encoder was made for what the configuration says."""
        fixed = getattr(self.handle.model.config, name, None)
        if value is not None and value != fixed:
            raise ValueError(f"{name} is fixed while patched: it must be {fixed!r}, got {value!r}")

    def _pictures(self, pixels: Tensor, sizes: Any, numbers: Any) -> list[Layout]:
        layout = self.handle.layouts["image"]
        if sizes is None:
            return [layout()] * len(pixels)
        sizes = [tuple(map(int, size)) for size in sizes]
        together = [int(n) for n in numbers for _ in range(int(n))] if numbers is not None else [1] * len(sizes)
        return [layout(*size, alone=n == 1) for size, n in zip(sizes, together, strict=True)]

    def _of_whole_pictures(self, pixels: Tensor) -> Float[Tensor, "pictures keep language"]:
        """A row is a picture, of which all patches compete: nothing to pack, nothing for a GPU to wait for."""
        handle, looked = self.handle, self._looked("image", pixels)
        keep, method = handle.keep or 1, looked.method
        mixes = method.merges and keep < handle.tokens
        choice = looked.choose(keep) if mixes or not method.merges else all_tokens(looked.seen)
        features = looked.feed(choice)
        handle.remember("image", Pruned(features, choice.indices.long(), choice.scores), choice=choice)
        return features if mixes and method.merges_projected else handle.model.model.multi_modal_projector(features)

    def _packed(self, kind: str, tiles: Tensor, layouts: Sequence[Layout]) -> list[Float[Tensor, "length language"]]:
        handle, model, blend = self.handle, self.handle.model.model, self.handle.family.blend_projected
        made = packing.plan(layouts, [handle.settings.budget] * len(layouts), handle.tokens, handle.settings.method)
        if len(tiles) != made.tiles:
            raise ValueError(f"these sizes need {made.tiles} tiles, pixel values have {len(tiles)}")
        looked = self._looked(kind, tiles, layouts)
        ended = packing.choose(made, looked, model.multi_modal_projector, blend)
        newline = getattr(model, "image_newline", None)
        tokens, pruned = packing.feed(made, looked, ended, model.multi_modal_projector, newline, blend)
        handle.remember(kind, pruned, packed=(made, ended))
        handle.seen[kind] = list(layouts)
        return tokens

    def _looked(self, kind: str, tiles: Tensor, layouts: Sequence[Layout] | None = None) -> Looked:
        """Of tiles of pictures with these layouts; without, each is a picture."""
        handle, tower = self.handle, self.handle.tower(kind)
        looked = handle.walk(tower, tiles.to(device_of(tower)), handle.model.model.multi_modal_projector)
        if not handle.words:
            return looked
        return handle.words.read(looked, kind, layouts or [handle.layouts[kind]()] * len(tiles))

    def _output(self, tokens: Any, return_dict: bool | None) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """As the stock methods return it: one tensor where theirs is, or a list with one for each picture."""
        last: Any = self.handle.last
        stacked = self.handle.family.stacked
        tokens = torch.stack(tokens) if stacked and isinstance(tokens, list) else tokens
        output = BaseModelOutputWithPooling(last_hidden_state=last.features, pooler_output=tokens)
        return output.to_tuple() if return_dict is False else output


def _refuse_interpolation(kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("interpolate_pos_encoding"):
        raise ValueError(
            "interpolate_pos_encoding must be False while patched, got True: the processor counts the tokens of tiles "
            "of the tower's own size"
        )


def _each(counts: list[int]) -> str:
    return f"{counts[0]} tokens each" if len(set(counts)) == 1 else f"{', '.join(map(str, counts))} tokens"
