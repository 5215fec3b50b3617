"""Small CLIP vision checkpoints with random weights, in the layout that is published on the Hugging Face hub."""

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from .inputs import dtype_of

# What differs between them; all attend moderately sharply (logits with a standard deviation of about 2).
GEOMETRIES = {
    "square": {"image_size": 32, "patch_size": 8, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 5},
    "odd": {
        "image_size": 35,
        "patch_size": 7,
        "hidden_size": 24,
        "num_attention_heads": 3,
        "num_hidden_layers": 3,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-3,
    },
    "24x24": {"image_size": 336, "patch_size": 14, "hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 4},
}
_FOLDERS = []  # temporary, gone with the process


@functools.cache
def make(geometry: str, dtype: str) -> str:
    """Write one and return its folder."""
    folder = tempfile.TemporaryDirectory(prefix=f"vtc-{geometry}-{dtype}-")
    _FOLDERS.append(folder)
    config = configuration(geometry, dtype)
    stored = {name: tensor.astype(dtype_of(dtype)) for name, tensor in weights(config).items()}
    Path(folder.name, "config.json").write_text(json.dumps(config, indent=1))
    save_file(stored, Path(folder.name, "model.safetensors"), metadata={"format": "pt"})
    return folder.name


def configuration(geometry: str, dtype: str) -> dict[str, object]:
    settings = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5} | GEOMETRIES[geometry]
    return {
        "architectures": ["CLIPVisionModel"],
        "model_type": "clip_vision_model",
        "torch_dtype": dtype,
        "num_channels": 3,
        "intermediate_size": 2 * GEOMETRIES[geometry]["hidden_size"],
        "attention_dropout": 0.0,
        "projection_dim": 16,
        **settings,
    }


def weights(config: dict) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    dim, inner, patch = config["hidden_size"], config["intermediate_size"], config["patch_size"]

    def linear(name: str, rows: int, columns: int, gain: float) -> dict[str, np.ndarray]:
        weight = gain * rng.standard_normal((rows, columns)) / columns**0.5
        return {f"{name}.weight": weight, f"{name}.bias": 0.1 * rng.standard_normal(rows)}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.weight": 1 + 0.1 * rng.standard_normal(dim), f"{name}.bias": 0.1 * rng.standard_normal(dim)}

    pixels_of_a_patch = 3 * patch**2
    tensors = {
        "embeddings.class_embedding": rng.standard_normal(dim),
        "embeddings.patch_embedding.weight": rng.standard_normal((dim, 3, patch, patch)) / pixels_of_a_patch**0.5,
        "embeddings.position_embedding.weight": rng.standard_normal(((config["image_size"] // patch) ** 2 + 1, dim)),
        **norm("pre_layrnorm"),
        **norm("post_layernorm"),
    }
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{number}"
        for projection, gain in (("q_proj", 1.5), ("k_proj", 1.5), ("v_proj", 1.0), ("out_proj", 1.0)):
            tensors |= linear(f"{layer}.self_attn.{projection}", dim, dim, gain)
        tensors |= norm(f"{layer}.layer_norm1") | norm(f"{layer}.layer_norm2")
        tensors |= linear(f"{layer}.mlp.fc1", inner, dim, 1.0) | linear(f"{layer}.mlp.fc2", dim, inner, 1.0)
    return {f"vision_model.{name}": tensor for name, tensor in tensors.items()}


def pixels(seed: int, geometry: str, batch: int, dtype: str) -> np.ndarray:
    """Normalised pixels, smooth enough that patches differ in their mean and not in noise alone."""
    side = GEOMETRIES[geometry]["image_size"]
    coarse = np.random.default_rng(seed).standard_normal((batch, 3, 7, 7))
    picked = np.arange(side) * 7 // side
    return coarse[:, :, picked][..., picked].astype(dtype_of(dtype))
