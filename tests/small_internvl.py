"""InternViTs small enough for a test."""

from typing import Any

import torch
from transformers import (
    InternVLVisionConfig,
    InternVLVisionModel,
)


def internvl_config(depth=5, dim=32, heads=4, grid=6, **settings: Any) -> InternVLVisionConfig:
    """InternViT: CLS, layer scale; in the larger checkpoints norms of queries and keys, and RMS norms."""
    return InternVLVisionConfig(
        hidden_size=dim,
        intermediate_size=2 * dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        image_size=4 * grid,
        patch_size=4,
        **settings,
    )


def make_internvl(attention="sdpa", depth=5, dim=32, heads=4, grid=6, **settings: Any) -> InternVLVisionModel:
    """An InternViT of `grid` x `grid` patches in eval mode."""
    torch.manual_seed(0)
    config = internvl_config(depth, dim, heads, grid, **settings)
    return sharpen_internvl(InternVLVisionModel._from_config(config, attn_implementation=attention).eval())


def sharpen_internvl(tower: InternVLVisionModel) -> InternVLVisionModel:
    """Its CLS and positions begin as zeros, norms and scales as equal numbers, so that mistakes would not show."""
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            if name.endswith(("cls_token", "position_embeddings")):
                parameter.normal_(std=0.5)
            elif "lambda" in name or "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3 + (0.5 if "lambda" in name else 0))
            elif name.endswith(("q_proj.weight", "k_proj.weight")):
                parameter.mul_(8)
    return tower
