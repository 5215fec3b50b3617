"""The prompt's side: as many placeholders as tokens are kept, known from the size of a picture alone.

So that KV cache, prefix cache, chunked prefill and the batches of the scheduler see the short prompt.

A request may set `mm_processor_kwargs={"vtc_keep": 32}`. That is sound because vLLM (read in 0.32) hashes every picture
together with the request's `mm_processor_kwargs` (`ProcessorInputs.get_mm_hashes`), and that hash is the key of the
processor's cache, of the encoder's, and, as an extra key of every block with a part of the picture in it, of the prefix
cache (`v1/core/kv_cache_utils.py`). Those caches can be shared between engines, through connectors. Between engines of
different settings a block that ends among the placeholders would look the same and hold other keys and values, so the
engine's settings are hashed as well, in `_get_mm_hashes` below; thereby a hash is made even where a client names its
picture by a uuid, which vLLM would take as it is. What vLLM compiles does not depend on the settings. Tests hold it:
tests/vllm/test_hashes.py, and with warm caches test_server.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from transformers import BatchFeature
from vllm.inputs import MultiModalHashes, MultiModalInput
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import ImageEmbeddingItems, ImageProcessorItems, ImageSize, MultiModalDataItems
from vllm.multimodal.processing import PromptReplacement, PromptUpdate, TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from vtc_llava import Settings
from vtc_llava.budget import num_visual_tokens
from vtc_llava.families import family_of
from vtc_llava.family import Family
from vtc_llava.geometry import Layout

from . import refusals
from .settings import KEEP, budget, requested, served, settable

if TYPE_CHECKING:
    from vllm.model_executor.models.llava import LlavaMultiModalProcessor as Processor
    from vllm.model_executor.models.llava import LlavaProcessingInfo as Info
else:
    Info = Processor = object  # they are mixed into vLLM's own, of LLaVA or of LLaVA-NeXT


class PrunedInfo(Info):
    """To come before vLLM's `ProcessingInfo` of a family."""

    def __init__(self, ctx: Any) -> None:
        super().__init__(ctx)
        self.settings: Settings = served(self.get_hf_config(), self.model_id)

    @property
    def _family(self) -> Family:
        return family_of(self.get_hf_config(), self.model_id)

    @cached_property
    def _layout(self) -> Any:
        return self._family.layouts(self.get_hf_config())["image"]

    def layout(self, size: ImageSize) -> Layout:
        return self._layout(size.height, size.width)

    def shortest_edge(self) -> int:
        """To which pictures are resized before they are cropped; 0 where they are resized to the size of a tile."""
        size = self.get_hf_processor().image_processor.size
        return 0 if self._family.several else size.get("shortest_edge") or 0

    def get_num_image_tokens(self, *, image_width: int, image_height: int) -> int:
        return num_visual_tokens(self.layout(ImageSize(image_width, image_height)), self.settings.budget)

    def get_image_size_with_most_features(self) -> ImageSize:
        """Of pictures that cost the language model the most, one that costs the encoder the most."""
        pinpoints = getattr(self.get_hf_config(), "image_grid_pinpoints", None)
        if pinpoints is None:
            return super().get_image_size_with_most_features()
        sizes = [ImageSize(width, height) for height, width in pinpoints]
        return max(
            sizes, key=lambda size: (num_visual_tokens(layout := self.layout(size), self.settings.budget), layout.tiles)
        )


class PrunedProcessor(Processor):
    """To come before vLLM's multi-modal processor of a family."""

    info: Any

    def apply(self, inputs: ProcessorInputs, timing_ctx: TimingContext) -> MultiModalInput:
        """With what would harm the engine, or other requests, refused first."""
        config, images = self.info.get_hf_config(), inputs.mm_data_items.get("image")
        refusals.names(inputs.hf_processor_mm_kwargs, settable(config))
        requested(config, inputs.hf_processor_mm_kwargs)
        if isinstance(images, ImageEmbeddingItems):
            model = self.info.ctx.model_config
            refusals.embeddings(images.get_all(), model.get_inputs_embeds_size(), model.dtype)
        return super().apply(inputs, timing_ctx)

    def _call_hf_processor(self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]) -> BatchFeature:
        """With the request's budget beside every picture, for the model; 0 where it has none."""
        keep = requested(self.info.get_hf_config(), hf_kwargs)
        refusals.thin(hf_data["images"], self.info.shortest_edge())
        inputs = super()._call_hf_processor(hf_data, {key: value for key, value in hf_kwargs.items() if key != KEEP})
        refusals.pixels(inputs["pixel_values"], self.info.get_hf_config().vision_config.image_size)
        inputs[KEEP] = torch.full((len(inputs["pixel_values"]),), keep or 0)
        return inputs

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        stock = super()._get_mm_fields_config(hf_inputs, hf_processor_mm_kwargs)
        return {**stock, KEEP: MultiModalFieldConfig.batched("image", keep_on_cpu=True)}

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptUpdate]:
        config = self.info.get_hf_config()
        allowed = budget(self.info.settings, requested(config, hf_processor_mm_kwargs))

        def placeholders(number: int) -> list[int]:
            images = mm_items.get_items("image", (ImageEmbeddingItems, ImageProcessorItems))
            if isinstance(images, ImageEmbeddingItems):  # pruned before, as `vtc encode` does
                count = images.get_feature_size(number)
            else:
                count = num_visual_tokens(self.info.layout(images.get_image_size(number)), allowed)
            return [config.image_token_index] * count

        return [PromptReplacement(modality="image", target=[config.image_token_index], replacement=placeholders)]

    def _get_mm_hashes(self, inputs: ProcessorInputs) -> MultiModalHashes:
        """Every picture's key in vLLM's caches, with the settings of this engine.

        Embeddings are known by what they hold alone: they pass by the processor's cache, so that under a uuid that was
        there before the encoder's would give another's, of another length even.
        """
        kwargs = {**inputs.hf_processor_mm_kwargs, "vtc": json.dumps(self.info.settings.saved())}
        is_encoded = isinstance(inputs.mm_data_items.get("image"), ImageEmbeddingItems)
        uuids = None if is_encoded else inputs.mm_uuid_items
        return super()._get_mm_hashes(replace(inputs, hf_processor_mm_kwargs=kwargs, mm_uuid_items=uuids))
