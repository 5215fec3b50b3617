"""CLIP's vision encoder in NumPy and float64, unpruned, from a checkpoint's own file: what encoders are held to.

Written from the architecture (Radford et al. 2021), not from any backend: whole attention maps, all layers, all tokens.
"""

import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from safetensors.numpy import load_file

import vtc_core

from .inputs import taken

Hidden = Float[np.ndarray, "batch length dim"]


class Encoded(NamedTuple):
    hidden_states: list[np.ndarray]  # depth + 1 of (batch length dim), length = 1 + tokens: embeddings, then each layer
    cls_attention: np.ndarray  # (depth batch heads tokens)


def scores(
    folder: str, pixels: np.ndarray, layers: int | Sequence[int], reduce: str
) -> Float[np.ndarray, "batch tokens"]:
    cls_attention = _encode(folder, pixels).cls_attention
    return vtc_core.score(cls_attention[list(vtc_core.resolve_layers(layers, len(cls_attention)))], reduce)


def features(
    folder: str, pixels: np.ndarray, indices: Integer[np.ndarray, "batch keep"]
) -> Float[np.ndarray, "batch keep dim"]:
    """Of the feature layer (-2), at these patch tokens."""
    return taken(_encode(folder, pixels).hidden_states[-2][:, 1:], indices)


def _encode(folder: str, pixels: np.ndarray) -> Encoded:
    return _encode_bytes(folder, pixels.astype(np.float64).tobytes(), len(pixels))


@functools.lru_cache(maxsize=16)
def _encode_bytes(folder: str, pixels: bytes, batch: int) -> Encoded:
    """The same pixels are asked for many times."""
    config = json.loads(Path(folder, "config.json").read_text())
    w = {
        name.removeprefix("vision_model."): x.astype(np.float64)
        for name, x in load_file(Path(folder, "model.safetensors")).items()
    }
    side = config["image_size"]
    return encode(np.frombuffer(pixels).reshape(batch, 3, side, side), config, w)


def encode(pixels: Float[np.ndarray, "batch 3 side side"], config: dict[str, Any], w: dict[str, np.ndarray]) -> Encoded:
    batch, patch, dim = len(pixels), config["patch_size"], config["hidden_size"]
    grid = config["image_size"] // patch
    patches = (
        pixels.reshape(batch, 3, grid, patch, grid, patch)
        .transpose(0, 2, 4, 1, 3, 5)
        .reshape(batch, grid**2, 3 * patch**2)
    )
    tokens = patches @ w["embeddings.patch_embedding.weight"].reshape(dim, -1).T  # batch tokens dim
    cls = np.broadcast_to(w["embeddings.class_embedding"], (batch, 1, dim))
    x = np.concatenate([cls, tokens], axis=1) + w["embeddings.position_embedding.weight"]  # batch 1+tokens dim
    x = _norm(x, w, "pre_layrnorm", config)
    hidden_states, cls_attention = [x], []
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{number}"
        mixed, attention = _attention(_norm(x, w, f"{layer}.layer_norm1", config), w, f"{layer}.self_attn", config)
        x = x + mixed
        x = x + _mlp(_norm(x, w, f"{layer}.layer_norm2", config), w, f"{layer}.mlp", config)
        hidden_states.append(x)
        cls_attention.append(attention[:, :, 0, 1:])  # batch heads tokens
    return Encoded(hidden_states, np.stack(cls_attention))


def _linear(x: Hidden, w: dict[str, np.ndarray], name: str) -> Float[np.ndarray, "batch length out"]:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(x: Hidden, w: dict[str, np.ndarray], name: str, config: dict[str, Any]) -> Hidden:
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
    return centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]


def _attention(x: Hidden, w: dict[str, np.ndarray], name: str, config: dict[str, Any]) -> tuple[Hidden, np.ndarray]:
    batch, length, dim = x.shape
    heads = config["num_attention_heads"]
    q, k, v = (
        _linear(x, w, f"{name}.{letter}_proj").reshape(batch, length, heads, dim // heads).transpose(0, 2, 1, 3)
        for letter in "qkv"
    )
    logits = q @ k.swapaxes(2, 3) / math.sqrt(dim // heads)  # batch heads 1+tokens 1+tokens
    attention = np.exp(logits - logits.max(-1, keepdims=True))
    attention /= attention.sum(-1, keepdims=True)
    mixed = (attention @ v).transpose(0, 2, 1, 3).reshape(batch, length, dim)
    return _linear(mixed, w, f"{name}.out_proj"), attention


def _mlp(x: Hidden, w: dict[str, np.ndarray], name: str, config: dict[str, Any]) -> Hidden:
    inner = _linear(x, w, f"{name}.fc1")
    if config["hidden_act"] == "quick_gelu":
        inner = inner / (1 + np.exp(-1.702 * inner))
    else:  # gelu
        inner = inner * (1 + np.vectorize(math.erf, [float])(inner / math.sqrt(2))) / 2
    return _linear(inner, w, f"{name}.fc2")
