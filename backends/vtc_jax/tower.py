"""CLIP's vision encoder in Flax, whole: pixels in, all hidden states out. `encoder.py` is the pruned one.

The modules carry the names of the Hugging Face layout (`pre_layrnorm` is not our misspelling).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from vtc_core import arguments, checks

from .attention import AttentionFunction, Mask, Queries, Tokens, attention

ACTIVATIONS = {
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "gelu": partial(jax.nn.gelu, approximate=False),
}


@dataclass(frozen=True)
class TowerConfig:
    """What `config.json` says of a CLIP vision tower, under its keys; the defaults are those of transformers."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int = 224  # pixels
    patch_size: int = 32  # pixels
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    @property
    def tokens(self) -> int:
        """Patch tokens, CLS excluded; pixels that fill no patch are left out."""
        return (self.image_size // self.patch_size) ** 2


class Attention(nnx.Module):
    def __init__(self, config: TowerConfig, function: AttentionFunction, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        dim = config.hidden_size
        self.function = function
        self.heads = config.num_attention_heads
        self.head_dim = dim // self.heads
        self.scale = self.head_dim**-0.5
        self.q_proj = nnx.Linear(dim, dim, param_dtype=dtype, rngs=rngs)
        self.k_proj = nnx.Linear(dim, dim, param_dtype=dtype, rngs=rngs)
        self.v_proj = nnx.Linear(dim, dim, param_dtype=dtype, rngs=rngs)
        self.out_proj = nnx.Linear(dim, dim, param_dtype=dtype, rngs=rngs)

    def query(self, x: Float[Array, "batch queries dim"]) -> Queries:
        return self._heads(self.q_proj(x))

    def keys_values(self, x: Float[Array, "batch length dim"]) -> tuple[Tokens, Tokens]:
        return self._heads(self.k_proj(x)), self._heads(self.v_proj(x))

    def __call__(
        self, query: Queries, keys: Tokens, values: Tokens, mask: Mask | None = None
    ) -> Float[Array, "batch queries dim"]:
        masked = {} if mask is None else {"mask": mask}
        mixed = self.function(query, keys, values, scale=self.scale, **masked)
        return self.out_proj(mixed.reshape(*mixed.shape[:2], self.heads * self.head_dim))

    def _heads(self, x: Float[Array, "batch length dim"]) -> Tokens:
        return x.reshape(*x.shape[:2], self.heads, self.head_dim)


class MLP(nnx.Module):
    def __init__(self, config: TowerConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.fc1 = nnx.Linear(config.hidden_size, config.intermediate_size, param_dtype=dtype, rngs=rngs)
        self.fc2 = nnx.Linear(config.intermediate_size, config.hidden_size, param_dtype=dtype, rngs=rngs)
        self.activation = config.hidden_act

    def __call__(self, x: Float[Array, "batch length dim"]) -> Float[Array, "batch length dim"]:
        return self.fc2(ACTIVATIONS[self.activation](self.fc1(x)))


# What is shown the queries, keys and values of a layer on the way: (attention, query, keys, values) -> None.
Note = Callable[[Attention, Queries, Tokens, Tokens], None]


class Layer(nnx.Module):
    """One layer, whole and in parts: a pruned encoder has fewer queries than keys."""

    def __init__(self, config: TowerConfig, function: AttentionFunction, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.layer_norm1 = _norm(config, dtype, rngs)
        self.self_attn = Attention(config, function, dtype, rngs)
        self.layer_norm2 = _norm(config, dtype, rngs)
        self.mlp = MLP(config, dtype, rngs)

    def finish_layer(
        self,
        hidden: Float[Array, "batch queries dim"],
        query: Queries,
        keys: Tokens,
        values: Tokens,
        mask: Mask | None = None,
    ) -> Float[Array, "batch queries dim"]:
        """All that comes after the projections of attention, for the query tokens."""
        hidden = hidden + self.self_attn(query, keys, values, mask)
        return hidden + self.mlp(self.layer_norm2(hidden))

    def __call__(
        self, hidden: Float[Array, "batch length dim"], note: Note | None = None, mask: Mask | None = None
    ) -> Float[Array, "batch length dim"]:
        normed = self.layer_norm1(hidden)
        query, (keys, values) = self.self_attn.query(normed), self.self_attn.keys_values(normed)
        if note:
            note(self.self_attn, query, keys, values)
        return self.finish_layer(hidden, query, keys, values, mask)


class Embeddings(nnx.Module):
    def __init__(self, config: TowerConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        dim, patch = config.hidden_size, config.patch_size
        self.class_embedding = nnx.Param(jax.random.normal(rngs.params(), (dim,), dtype))
        self.patch_embedding = nnx.Conv(
            config.num_channels,
            dim,
            (patch, patch),
            (patch, patch),
            padding="VALID",
            use_bias=False,
            param_dtype=dtype,
            rngs=rngs,
        )
        self.position_embedding = nnx.Embed(1 + config.tokens, dim, param_dtype=dtype, rngs=rngs)

    def __call__(self, pixel_values: Float[Array, "batch channels height width"]) -> Float[Array, "batch length dim"]:
        cls = self.class_embedding[...]
        grid = self.patch_embedding(pixel_values.astype(cls.dtype).transpose(0, 2, 3, 1))  # batch rows columns dim
        batch, rows, columns, dim = grid.shape
        patches = grid.reshape(batch, rows * columns, dim)
        tokens = jnp.concatenate([jnp.broadcast_to(cls, (batch, 1, dim)), patches], axis=1)
        return tokens + self.position_embedding.embedding[...]


class CLIPTower(nnx.Module):
    """CLIP's vision encoder without its pooling head, with random weights; `PrunedEncoder.from_pretrained` reads some.

    `useful` layers are made, the first ones, of those that `config` counts; all where it is None.

    Raises ValueError for an activation that CLIP does not have, and for heads that do not divide the hidden size.
    """

    def __init__(
        self,
        config: TowerConfig,
        *,
        attention: AttentionFunction = attention,
        dtype: DTypeLike = jnp.float32,
        useful: int | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        activation(config.hidden_act)
        if config.hidden_size % config.num_attention_heads:
            heads, dim = config.num_attention_heads, config.hidden_size
            raise ValueError(f"num_attention_heads must divide hidden_size, got {heads} and {dim}")
        self.config = config
        self.embeddings = Embeddings(config, dtype, rngs)
        self.pre_layrnorm = _norm(config, dtype, rngs)
        count = config.num_hidden_layers if useful is None else useful
        self.layers = nnx.List(Layer(config, attention, dtype, rngs) for _ in range(count))

    def embed(self, pixel_values: Float[Array, "batch channels height width"]) -> Float[Array, "batch length dim"]:
        """The input of the first layer, `hidden_states[0]`; length = 1 + tokens, CLS first."""
        checks.pixels(pixel_values, self.config.image_size, self.config.patch_size)
        arguments.floating("pixel_values", pixel_values)
        return self.pre_layrnorm(self.embeddings(pixel_values))

    def __call__(self, pixel_values: Float[Array, "batch channels height width"]) -> list[Array]:
        """(batch channels height width) -> layers + 1 of (batch 1+tokens dim), transformers' `hidden_states`."""
        hidden_states = [self.embed(pixel_values)]
        for layer in self.layers:
            hidden_states.append(layer(hidden_states[-1]))
        return hidden_states


class Projector(nnx.Module):
    """LLaVA's way from the tower's features to the language model: two linear layers."""

    def __init__(
        self,
        dim: int,
        language_dim: int,
        hidden_act: str,
        bias: bool,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        activation(hidden_act, "projector_hidden_act")
        self.activation = hidden_act
        self.linear_1 = nnx.Linear(dim, language_dim, use_bias=bias, param_dtype=dtype, rngs=rngs)
        self.linear_2 = nnx.Linear(language_dim, language_dim, use_bias=bias, param_dtype=dtype, rngs=rngs)

    def __call__(self, features: Float[Array, "batch keep dim"]) -> Float[Array, "batch keep language_dim"]:
        return self.linear_2(ACTIVATIONS[self.activation](self.linear_1(features)))


def activation(name: str, key: str = "hidden_act") -> None:
    """A ValueError unless it is one of CLIP's; `key` is what the configuration calls it."""
    if name not in ACTIVATIONS:
        raise ValueError(f"{key} must be one of {', '.join(map(repr, ACTIVATIONS))}, got {name!r}")


def _norm(config: TowerConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Flax's own way to the variance, by the mean of squares, is faster and loses digits of large activations."""
    return nnx.LayerNorm(
        config.hidden_size, epsilon=config.layer_norm_eps, use_fast_variance=False, param_dtype=dtype, rngs=rngs
    )
