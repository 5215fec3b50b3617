"""The layers of CLIP's vision encoder in Flax, whole and in parts, and what a configuration says of them.

The modules carry the names of the Hugging Face layout.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from .attention import AttentionFunction, Mask, Queries, Tokens

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
    """Queries, keys and values have a bias or not; `out` is what the projection after them is called."""

    def __init__(
        self,
        config: TowerConfig,
        function: AttentionFunction,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        bias: bool = True,
        out: str = "out_proj",
    ) -> None:
        dim = config.hidden_size
        self.function = function
        self.heads = config.num_attention_heads
        self.head_dim = dim // self.heads
        self.scale = self.head_dim**-0.5
        self.q_proj = nnx.Linear(dim, dim, use_bias=bias, param_dtype=dtype, rngs=rngs)
        self.k_proj = nnx.Linear(dim, dim, use_bias=bias, param_dtype=dtype, rngs=rngs)
        self.v_proj = nnx.Linear(dim, dim, use_bias=bias, param_dtype=dtype, rngs=rngs)
        self.out = out
        setattr(self, out, nnx.Linear(dim, dim, param_dtype=dtype, rngs=rngs))

    def query(self, x: Float[Array, "batch queries dim"]) -> Queries:
        return self._heads(self.q_proj(x))

    def keys_values(self, x: Float[Array, "batch length dim"]) -> tuple[Tokens, Tokens]:
        return self._heads(self.k_proj(x)), self._heads(self.v_proj(x))

    def __call__(
        self, query: Queries, keys: Tokens, values: Tokens, mask: Mask | None = None
    ) -> Float[Array, "batch queries dim"]:
        masked = {} if mask is None else {"mask": mask}
        mixed = self.function(query, keys, values, scale=self.scale, **masked)
        return getattr(self, self.out)(mixed.reshape(*mixed.shape[:2], self.heads * self.head_dim))

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
        self.layer_norm1 = norm(config, dtype, rngs)
        self.self_attn = Attention(config, function, dtype, rngs)
        self.layer_norm2 = norm(config, dtype, rngs)
        self.mlp = MLP(config, dtype, rngs)

    @property
    def attending(self) -> Attention:
        return self.self_attn

    def normed(self, hidden: Float[Array, "batch length dim"]) -> Float[Array, "batch length dim"]:
        """What attention is given."""
        return self.layer_norm1(hidden)

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
        normed, attention = self.normed(hidden), self.attending
        query, (keys, values) = attention.query(normed), attention.keys_values(normed)
        if note:
            note(attention, query, keys, values)
        return self.finish_layer(hidden, query, keys, values, mask)


def check(config: TowerConfig) -> None:
    """A ValueError for what no tower can be made of."""
    activation(config.hidden_act)
    if config.hidden_size % config.num_attention_heads:
        heads, dim = config.num_attention_heads, config.hidden_size
        raise ValueError(f"num_attention_heads must divide hidden_size, got {heads} and {dim}")


def activation(name: str, key: str = "hidden_act") -> None:
    """A ValueError unless it is one of CLIP's; `key` is what the configuration calls it."""
    if name not in ACTIVATIONS:
        raise ValueError(f"{key} must be one of {', '.join(map(repr, ACTIVATIONS))}, got {name!r}")


def norm(config: TowerConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Flax's own way to the variance, by the mean of squares, is faster and loses digits of large activations."""
    return nnx.LayerNorm(
        config.hidden_size, epsilon=config.layer_norm_eps, use_fast_variance=False, param_dtype=dtype, rngs=rngs
    )
