"""The language model's side: between its layers stages are asked, and what is left of the prompts goes on.

Modifications of transformers' `LlamaModel.forward` (Mistral's and Qwen2's have the same form):
- before a layer that a stage names the hidden states of prompts are shortened, row by row; from there on mask,
  positions and cache are those of what is left. Layers are called as the modules that they are;
- the final hidden states stand where their tokens were in the prompt, with zeros where none is left, so that logits are
  as long as the prompt, and labels and `logits[:, -1]` mean what they meant;
- later steps find what is left of the prompt in the cache, layer by layer.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from . import shortened
from .handle import Handle
from .prompts import Prompts
from .segments import Segment, later


@dataclass(frozen=True, eq=False)
class Decoding:
    """A bound method of this small object: a `deepcopy` of a patched model rebinds it to the copy."""

    handle: Handle

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """In place of the language model's: the stock one, unless a prompt has pictures, or had some."""
        handle = self.handle
        lm = handle.model.model.language_model
        visual, handle.visual = handle.visual, None
        if visual is None and not shortened.is_shortened(kwargs.get("past_key_values")):
            return type(lm).forward(lm, *args, **kwargs)
        prompts = None if visual is None else Prompts(lm, handle.settings.stages, visual)
        output = _forward(lm, *args, prompts=prompts, **kwargs)
        if prompts is not None:
            handle.stages_last = prompts.left
        return output


@merge_with_config_defaults
@capture_outputs
def _forward(
    lm: Any,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    position_ids: Any = None,
    past_key_values: Any = None,
    inputs_embeds: Any = None,
    use_cache: bool | None = None,
    *,
    prompts: Prompts | None,
    **kwargs: Any,
) -> BaseModelOutputWithPast:
    """`prompts`: pictures that enter now, and the stages to ask; None in later steps."""
    hidden = lm.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
    cache = DynamicCache(config=lm.config) if use_cache and past_key_values is None else past_key_values
    if position_ids is None:
        seen = 0 if cache is None else cache.get_seq_length()
        position_ids = (torch.arange(hidden.shape[1], device=hidden.device) + seen)[None]
    if prompts is not None:
        prompts.enter(hidden, attention_mask, position_ids, cache)
    known = {"position_ids": position_ids} if cache is None else {}  # the stock masks find packed sequences by them
    segment = Segment(lm, 0, hidden, position_ids, cache, attention_mask, **known)
    for number, layer in enumerate(lm.layers[: lm.config.num_hidden_layers]):
        left = shortened.left_of(cache, number)
        if left is not None:
            segment = later(lm, number, hidden, position_ids, cache, attention_mask, left)
        elif prompts is not None and number in prompts.schedule:
            hidden, segment = prompts.ask(number, hidden, segment)
        with prompts.looking(number, layer) if prompts is not None else nullcontext():
            hidden = layer(hidden, **segment.arguments(number), past_key_values=cache, use_cache=use_cache, **kwargs)
    hidden = lm.norm(hidden)
    if prompts is not None:
        hidden = prompts.scattered(hidden)
    return BaseModelOutputWithPast(last_hidden_state=hidden, past_key_values=cache if use_cache else None)
