"""The family `llava`: LLaVA-1.5, BakLLaVA and fine-tunes in the same form; a CLIP tower and one feature layer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import LlavaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import MultiModalData

from vtc_torch import Pruned
from vtc_torch.loading import no_cls

from .handle import Handle

MODEL = LlavaForConditionalGeneration


def check_config(config: Any) -> None:
    """A ValueError for what is not supported."""
    kind = config.vision_config.model_type
    if kind != "clip_vision_model":
        raise ValueError(no_cls(f"the vision tower ({kind})"))
    if not isinstance(config.vision_feature_layer, int):
        raise ValueError(
            f"vision_feature_layer must be one layer, got {config.vision_feature_layer}: "
            "features concatenated from several layers are not supported"
        )
    if config.vision_feature_select_strategy != "default":
        raise ValueError(
            f"vision_feature_select_strategy must be 'default', got {config.vision_feature_select_strategy!r}: "
            "it feeds CLS to the language model, and only patch tokens can be pruned"
        )


def check_processor(processor: Any) -> None:
    """Refuse what does not write image placeholders (a bare tokenizer or image processor)."""
    if not hasattr(processor, "replace_image_token") or not hasattr(processor, "image_token"):
        raise TypeError(f"processor must be the model's own LlavaProcessor, got {type(processor).__name__}")


def overrides(handle: Handle) -> Iterator[tuple[Any, str, Any]]:
    """(instance, attribute, value) of all that `patch` sets.

    The values are bound methods of small objects: a `deepcopy` of a patched model rebinds them to the copy, and saving
    a processor, which copies its attributes, copies no model along.
    """
    model, processor = handle.model, handle.processor
    features = ImageFeatures(handle)
    placeholders = Placeholders(processor.image_token, handle.keep)
    yield model.model, "get_image_features", features.get_image_features
    yield model.model, "get_placeholder_mask", features.get_placeholder_mask
    yield processor, "replace_image_token", placeholders.replace_image_token
    yield processor, "_get_num_multimodal_tokens", placeholders.count
    yield model, "vtc", handle
    yield processor, "vtc", placeholders


@dataclass(frozen=True)
class Placeholders:
    """The processor's side: `keep` placeholders a picture, whatever its size."""

    image_token: str
    keep: int

    def replace_image_token(self, image_inputs: Mapping[str, Any], image_idx: int, **kwargs: Any) -> str:
        return self.image_token * self.keep

    def count(self, image_sizes: list | None = None, **kwargs: Any) -> MultiModalData:
        """What serving engines ask before they see a picture (`LlavaProcessor._get_num_multimodal_tokens`)."""
        pictures = len(image_sizes) if image_sizes is not None else 0
        return MultiModalData(num_image_tokens=[self.keep] * pictures, num_image_patches=[1] * pictures)


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """The model's side: in place of two methods of `LlavaModel`."""

    handle: Handle

    def get_image_features(
        self,
        pixel_values: Tensor,
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """As `LlavaModel.get_image_features`: `pooler_output` is a list with (keep, language dim) for each picture."""
        config = self.handle.model.config
        for name, value in (
            ("vision_feature_layer", vision_feature_layer),
            ("vision_feature_select_strategy", vision_feature_select_strategy),
        ):
            if value is not None and value != getattr(config, name):
                raise ValueError(f"{name} is fixed while patched: it must be {getattr(config, name)!r}, got {value!r}")
        tower = self.handle.encoder.tower
        pruned = self.handle.encoder(pixel_values.to(next(tower.parameters()).device))
        self.handle.last = Pruned(*(x.detach() for x in pruned))
        projected = self.handle.model.model.multi_modal_projector(pruned.features)
        output = BaseModelOutputWithPooling(last_hidden_state=pruned.features, pooler_output=list(projected))  # type: ignore[arg-type]
        return output.to_tuple() if return_dict is False else output

    def get_placeholder_mask(self, input_ids: Tensor | None, inputs_embeds: Tensor, image_features: Tensor) -> Tensor:
        """As `LlavaModel.get_placeholder_mask`, with a message that names the call that was forgotten."""
        model = self.handle.model.model
        try:
            return type(model).get_placeholder_mask(model, input_ids, inputs_embeds, image_features)
        except ValueError as error:
            keep, tokens = self.handle.keep, self.handle.tokens
            raise ValueError(
                f"the prompt's image placeholders do not match the pruned pictures ({keep} tokens each): {error}. "
                f"A processor that is not patched writes {tokens}; use the processor that was given to "
                f"vtc_llava.patch(model, processor, keep={keep})"
            ) from error
