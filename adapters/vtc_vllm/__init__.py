"""A vLLM plugin: stock `vllm serve` prunes the visual tokens of LLaVA and LLaVA-NeXT. See `plugin`."""

from .plugin import register as register
