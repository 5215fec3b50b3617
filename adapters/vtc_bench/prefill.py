"""A LLaVA's work before its first token, and each token after it: encoder, projector, language model; random weights.

The parts are put together here as LLaVA does it, without a processor: the fed features, projected, then the text.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen2Config

from vtc_core.methods import Method
from vtc_llava.savings import decoder

from . import costs, torch_encoder
from .costs import Geometry

# Vicuna-7B-v1.5 (the language model of LLaVA-1.5) and Qwen2-0.5B (that of small LLaVAs): shapes from their config.json.
LANGUAGE_MODELS: dict[str, Callable[[], PreTrainedConfig]] = {
    "0.5b": lambda: Qwen2Config(
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        vocab_size=151936,
        tie_word_embeddings=True,
    ),
    "7b": lambda: LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        vocab_size=32064,
    ),
}
TEXT = 40  # tokens of the prompt besides the picture's: a short question in a chat template
STEPS = 16  # tokens of an answer that are timed
WORK = PREFILL, END_TO_END, DECODE = "prefill", "end to end", f"{STEPS} tokens"


def language_model(config: PreTrainedConfig, device: str, dtype: torch.dtype) -> Any:
    """In eval mode, sdpa attention; made on its device, where a 7B's weights are drawn in seconds."""
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa").eval()


def runs(
    g: Geometry, config: PreTrainedConfig, pixel_values: Tensor, keep: int, method: Method
) -> dict[str, Callable[[], Any]]:
    """Name to run, each with all visual tokens and with `keep`: prefill, end to end (to the first token), and decoding.

    On the device and in the dtype of `pixel_values`; one picture a prompt.
    """
    device, dtype = str(pixel_values.device), pixel_values.dtype
    language = language_model(config, device, dtype)
    width = config.hidden_size
    projector = nn.Sequential(nn.Linear(g.dim, width), nn.GELU(), nn.Linear(width, width)).eval().to(device, dtype)
    only = (torch_encoder.PRUNED, torch_encoder.WHOLE)
    encoders = torch_encoder.runs(g, pixel_values, keep, method, only, projector)
    batch = len(pixel_values)
    text = torch.randn(batch, TEXT, width, generator=torch.Generator().manual_seed(0)).to(device, dtype)

    def first_token(tokens: Tensor) -> Any:
        embeds = torch.cat([tokens, text], 1)
        return language(inputs_embeds=embeds, use_cache=True, logits_to_keep=1)

    def decode(seen: Any) -> None:
        token = seen.logits[:, -1:].argmax(-1)
        for _ in range(STEPS):
            token = language(input_ids=token, past_key_values=seen.past_key_values).logits.argmax(-1)
        seen.past_key_values.crop(-STEPS)  # for the next round

    named: dict[str, Callable[[], Any]] = {}
    for count, encode in (
        (keep, lambda: encoders[torch_encoder.PRUNED]().features),
        (g.tokens, encoders[torch_encoder.WHOLE]),
    ):
        with torch.no_grad():
            tokens = encode()
            seen = first_token(tokens)
        named[f"{PREFILL}, {count}"] = partial(first_token, tokens)
        named[f"{END_TO_END}, {count}"] = lambda encode=encode: first_token(encode())
        named[f"{DECODE}, {count}"] = partial(decode, seen)
    return {name: torch_encoder.without_gradients(run) for name, run in named.items()}


def floors(g: Geometry, config: PreTrainedConfig, keep: int, method: Method) -> dict[str, float]:
    """Kept / all by multiply-adds. Decoding reads weights and cache rather than multiplying: it has no such floor."""
    kept, everything = (language_work(config, count) for count in (keep, g.tokens))
    end_to_end = to_first_token(g, config, keep, method) / (costs.whole(g) + after_encoder(g, config, g.tokens))
    return {PREFILL: kept / everything, END_TO_END: end_to_end}


def to_first_token(g: Geometry, config: PreTrainedConfig, keep: int, method: Method) -> int:
    """Encoder, projector and language model of a picture of which `keep` tokens are fed."""
    seen = g.tokens * g.projection(config.hidden_size) if "projected" in method.needs else 0
    projecting = keep * g.projection(config.hidden_size) if method.merges_projected else 0  # these are there already
    return costs.pruned(g, keep, method) + seen - projecting + after_encoder(g, config, keep)


def after_encoder(g: Geometry, config: PreTrainedConfig, tokens: int) -> int:
    """Projector and language model, for the `tokens` that are fed of a picture."""
    return tokens * g.projection(config.hidden_size) + language_work(config, tokens)


def language_work(config: PreTrainedConfig, tokens: int) -> int:
    """For a picture's `tokens` and the text after them, up to the logits of the last."""
    return decoder(config).flops(tokens + TEXT) // 2 + config.hidden_size * config.vocab_size
