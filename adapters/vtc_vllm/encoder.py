"""The model's side: vLLM's vision tower is replaced by one of transformers, in which `vtc_torch` prunes.

vLLM's own tower fuses queries, keys and values, and splits heads over tensor-parallel ranks: pruning inside it would
need a second implementation for its layers. `vtc_torch` gives what `vtc_llava.patch` gives, to rounding, for every
method, and takes SigLIP as well; linear layers run in vLLM's kernels. The price: every rank holds and computes the
whole tower (0.6 GB of CLIP ViT-L/14 in 16 bits); no mean over heads crosses ranks, and all choose the same tokens. In
bfloat16 on a CPU attention is by products: torch's sdpa is slow there. Three projections where vLLM has one cost 2 % at
most (measured). FlowCut waits for the device as often as it drops tokens; all other methods, where the pictures of a
call have one tile and one budget, never. Projector and language model stay vLLM's own. A tower that is itself quantised
is not supported, nor is LoRA on tower or projector.
"""

import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AutoModel
from vllm.config import VllmConfig
from vllm.model_executor.layers.linear import ReplicatedLinear
from vllm.model_executor.models.interfaces import MultiModalEmbeddings
from vllm.model_executor.models.utils import AutoWeightsLoader, StageMissingLayer, WeightsMapper

from vtc_core.methods import all_tokens
from vtc_llava import Settings, packing
from vtc_llava.budget import Budget
from vtc_llava.families import family_of
from vtc_llava.geometry import Layout
from vtc_torch import loading, towers
from vtc_torch.encoder import walk_of
from vtc_torch.packed import attend_by_products
from vtc_torch.progressive import ProgressiveWalk
from vtc_torch.walk import Walk

from .settings import KEEP, budget, served

# Where LLaVAs keep the tower, as published and as newer `save_pretrained` writes it, both again below "model.".
_TOWER: Any = re.compile(r"^(model\.)?vision_tower\.(vision_model\.)?")
_UNUSED = ("post_layernorm", "head")  # after the last layer


def walk_through(config: Any, settings: Settings) -> Walk | ProgressiveWalk:
    """The way through the tower of a LLaVA's configuration."""
    size = towers.size_of_config(config.vision_config)
    return walk_of(*size, settings.keep or 1, settings.method, loading.feature_layer(config))


def layers_walked(walk: Walk | ProgressiveWalk) -> int:
    """Of how many layers something is needed; the last of them may be there for its queries and keys alone."""
    return max(*walk.feature_layers, *(number + 1 for number in walk.layers), 0)


def empty_tower(config: Any, walk: Walk | ProgressiveWalk, dtype: torch.dtype) -> nn.Module:
    """Of a LLaVA's configuration, on torch's current default device; only the layers that are walked are made.

    Weights are random until vLLM loads them.
    """
    vision_config = deepcopy(config.vision_config)
    vision_config.num_hidden_layers = layers_walked(walk)
    tower = AutoModel.from_config(vision_config, dtype=dtype, attn_implementation="sdpa").eval()
    for part in _UNUSED:
        if hasattr(tower, part):
            delattr(tower, part)
    for name, layer in list(tower.named_modules()):
        if isinstance(layer, nn.Linear):
            tower.set_submodule(name, _vllms(layer))
    if dtype == torch.bfloat16 and torch.get_default_device().type == "cpu":
        attend_by_products(tower)
    return tower


def _vllms(layer: nn.Linear) -> nn.Module:
    """In the kernels of vLLM, which on CPUs multiplies by packed weights."""
    has_bias = layer.bias is not None
    return ReplicatedLinear(layer.in_features, layer.out_features, has_bias, return_bias=False)


if TYPE_CHECKING:
    from vllm.model_executor.models.llava import LlavaForConditionalGeneration as Model
else:
    Model = object  # it is mixed into vLLM's own, LLaVA's or LLaVA-NeXT's


class PrunedModel(Model):
    """To come before vLLM's model of a family.

    What is fed of a picture is finite: an overflow in tower or projector becomes zeros, and the answer to that request
    is worth nothing. Else it would be worse: vLLM gives blocks of its KV cache to the next request as they are, and
    what is not finite in the unused places of a block, which attention weighs with 0, makes NaN of that one's answer
    (seen in stock vLLM 0.32 on a CPU, once a cache of 64 blocks was used up). Other pictures of the same call are
    untouched by it. What overflows in the language model itself the plugin cannot hold back: in float16 that takes
    values of some 10,000; in bfloat16 and float32 embeddings up to 3e38 left no trace.
    """

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
        self.tokens = towers.size_of_config(self.config.vision_config).tokens
        self.walk = walk_through(self.config, settings)
        if not isinstance(self.vision_tower, StageMissingLayer):  # --limit-mm-per-prompt '{"image": 0}'
            self.vision_tower = empty_tower(self.config, self.walk, vllm_config.model_config.dtype)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        after = range(layers_walked(self.walk), self.config.vision_config.num_hidden_layers)
        unused = (*_UNUSED, *(f"encoder.layers.{number}" for number in after))
        tower = WeightsMapper(
            orig_to_new_regex={_TOWER: "vision_tower."},
            orig_to_new_substr={f"vision_tower.{name}.": None for name in unused},
        )
        return AutoWeightsLoader(self).load_weights(weights, mapper=tower | self.hf_to_vllm_mapper)

    def embed_multimodal(self, **kwargs: Any) -> MultiModalEmbeddings:
        """Pictures of several requests, each with its own budget: one (length language_dim) for each picture."""
        pixels = kwargs.get("pixel_values")
        if pixels is None:  # pruned before; vLLM's own method would stop the engine at two lengths in a batch
            return [*kwargs.get("image_embeds", ())]
        sizes, budgets = kwargs.get("image_sizes"), [budget(self.settings, keep) for keep in kwargs[KEEP].tolist()]
        if sizes is None:
            layouts = [self.layout() for _ in budgets]
        else:  # pictures of fewer tiles may be filled up
            layouts = [self.layout(*size) for size in sizes.tolist()]
            pixels = torch.cat([tiles[: layout.tiles] for tiles, layout in zip(pixels, layouts, strict=True)])
        one_budget = len(set(budgets)) == 1
        if not self.family.several and (one_budget or isinstance(self.walk, ProgressiveWalk)):
            pictures = self._of_whole_pictures(pixels, [budget.keep or 1 for budget in budgets])
        else:
            pictures = self._packed(pixels, layouts, budgets)
        return [tokens.nan_to_num(0.0, 0.0, 0.0) for tokens in pictures]

    def _of_whole_pictures(self, pixels: Tensor, keeps: Sequence[int]) -> Sequence[Tensor]:
        """A row is a picture, of which all patches compete: nothing to pack, nothing for a GPU to wait for.

        Those of one budget at a time: where tokens are dropped on the way, there is a way for each budget.
        """
        by_row: dict[int, Tensor] = {}
        for keep in set(keeps):
            rows = [row for row, its in enumerate(keeps) if its == keep]
            walk = self.walk._replace(keep=keep) if isinstance(self.walk, ProgressiveWalk) else self.walk
            looked = walk(self.vision_tower, pixels[rows], self.multi_modal_projector)
            choice = looked.choose(keep) if keep < self.tokens else all_tokens(looked.seen)
            by_row.update(zip(rows, looked.feed(choice, self.multi_modal_projector), strict=True))
        return [by_row[row] for row in range(len(keeps))]

    def _packed(self, pixels: Tensor, layouts: Sequence[Layout], budgets: Sequence[Budget]) -> Sequence[Tensor]:
        looked = self.walk(self.vision_tower, pixels, self.multi_modal_projector)
        plan = packing.plan(layouts, budgets, self.tokens, looked.method)
        newline, blend = getattr(self, "image_newline", None), self.family.blend_projected
        ended = packing.choose(plan, looked, self.multi_modal_projector, blend)
        return packing.feed(plan, looked, ended, self.multi_modal_projector, newline, blend)[0]
