"""The model's side: `vtc_torch.PrunedEncoder` in the place of vLLM's own tower.

vLLM's tower fuses queries, keys and values, and splits heads over tensor-parallel ranks: to prune inside it, the walk
through the layers would be written a second time, for a second set of parts. The encoder that everything else here uses
gives what `vtc_llava.patch` gives, to rounding, and takes SigLIP (`signal="received"`) as well; its projections run in
vLLM's kernels. Its price: every rank holds and computes the whole tower (0.6 GB of CLIP ViT-L/14 in 16 bits), so that
there is no head mean to be reduced, and every rank chooses the same tokens; and three projections where vLLM has one,
so that in 16 bits on a CPU it is no faster than vLLM's tower, which leaves out the last layer as well. Projector and
language model stay vLLM's own. A tower that is itself quantised is not supported, nor is LoRA on tower or projector.
"""

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AutoModel
from vllm.config import VllmConfig
from vllm.model_executor.layers.linear import ReplicatedLinear
from vllm.model_executor.models.interfaces import MultiModalEmbeddings
from vllm.model_executor.models.utils import AutoWeightsLoader, StageMissingLayer, WeightsMapper

from vtc_core import checks, resolve_layers
from vtc_llava import Settings
from vtc_llava.families import family_of
from vtc_llava.packing import Packing
from vtc_torch import PrunedEncoder, loading

from .settings import KEEP, budget, served

# Where LLaVAs keep the tower, as published and as newer `save_pretrained` writes it, both again below "model.".
_TOWER: Any = re.compile(r"^(model\.)?vision_tower\.(vision_model\.)?")
_UNUSED = ("post_layernorm", "head")  # after the last layer


def empty_encoder(config: Any, settings: Settings, dtype: torch.dtype) -> PrunedEncoder:
    """Of a LLaVA's configuration, on torch's current default device; only the useful layers are made.

    Weights are random until vLLM loads them.
    """
    features = _features(config)
    vision_config = deepcopy(config.vision_config)
    layers = resolve_layers(settings.layers, vision_config.num_hidden_layers, max(features))
    vision_config.num_hidden_layers = max(features)
    tower = AutoModel.from_config(vision_config, dtype=dtype, attn_implementation="sdpa").eval()
    for part in _UNUSED:
        if hasattr(tower, part):
            delattr(tower, part)
    for name, layer in list(tower.named_modules()):
        if isinstance(layer, nn.Linear):
            tower.set_submodule(name, _vllms(layer))
    return PrunedEncoder(tower, settings.keep or 1, layers, settings.reduce, features, settings.signal)


def _features(config: Any) -> tuple[int, ...]:
    """The hidden states that are fed; no layer after the latest of them is useful."""
    return checks.feature_layers(config.vision_config.num_hidden_layers, loading.feature_layer(config))


def _vllms(layer: nn.Linear) -> nn.Module:
    """In the kernels of vLLM, which on CPUs multiplies by packed weights."""
    has_bias = layer.bias is not None
    return ReplicatedLinear(layer.in_features, layer.out_features, has_bias, return_bias=False)


if TYPE_CHECKING:
    from vllm.model_executor.models.llava import LlavaForConditionalGeneration as Model
else:
    Model = object  # it is mixed into vLLM's own, LLaVA's or LLaVA-NeXT's


class PrunedModel(Model):
    """To come before vLLM's model of a family."""

    config: Any
    hf_to_vllm_mapper: WeightsMapper
    vision_tower: Any
    multi_modal_projector: Any
    supports_tower_connector_lora = False

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        settings = served(vllm_config.model_config.hf_config, vllm_config.model_config.model)
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.settings = settings
        self.family = family_of(self.config, type(self).__name__)
        self.layout = self.family.layouts(self.config)["image"]
        if not isinstance(self.vision_tower, StageMissingLayer):  # --limit-mm-per-prompt '{"image": 0}'
            self.vision_tower = empty_encoder(self.config, settings, vllm_config.model_config.dtype)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        after = range(max(_features(self.config)), self.config.vision_config.num_hidden_layers)
        unused = (*_UNUSED, *(f"encoder.layers.{number}" for number in after))
        tower = WeightsMapper(
            orig_to_new_regex={_TOWER: "vision_tower.tower."},
            orig_to_new_substr={f"vision_tower.tower.{name}.": None for name in unused},
        )
        return AutoWeightsLoader(self).load_weights(weights, mapper=tower | self.hf_to_vllm_mapper)

    def embed_multimodal(self, **kwargs: Any) -> MultiModalEmbeddings:
        """Pictures of several requests, each with its own budget: one (length language_dim) for each picture."""
        pixels = kwargs.get("pixel_values")
        if pixels is None:  # pruned before; vLLM's own method would stop the engine at two lengths in a batch
            return [*kwargs.get("image_embeds", ())]
        sizes, keeps = kwargs.get("image_sizes"), kwargs[KEEP].tolist()
        layouts = [self.layout(*size) for size in sizes.tolist()] if sizes is not None else [self.layout()] * len(keeps)
        if sizes is not None:  # pictures of fewer tiles may be filled up
            pixels = torch.cat([tiles[: layout.tiles] for tiles, layout in zip(pixels, layouts, strict=True)])
        encoder: PrunedEncoder = self.vision_tower
        packing = Packing(layouts, [budget(self.settings, keep) for keep in keeps], encoder.tokens)
        features = encoder(pixels, choose=packing.choose).features
        newline = getattr(self, "image_newline", None)
        return packing.feed(features, self.multi_modal_projector, newline, self.family.blend_projected)
