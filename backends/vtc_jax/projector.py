"""The way from a tower's features to the language model."""

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from .layers import ACTIVATIONS, activation


class Projector(nnx.Module):
    """Two linear layers, as LLaVA has them; before them a norm, as InternVL has it."""

    def __init__(
        self,
        dim: int,
        language_dim: int,
        hidden_act: str,
        bias: bool,
        norm: bool = False,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        activation(hidden_act, "projector_hidden_act")
        self.activation = hidden_act
        self.layer_norm = _norm(dim, dtype, rngs) if norm else None
        self.linear_1 = nnx.Linear(dim, language_dim, use_bias=bias, param_dtype=dtype, rngs=rngs)
        self.linear_2 = nnx.Linear(language_dim, language_dim, use_bias=bias, param_dtype=dtype, rngs=rngs)

    def __call__(self, features: Float[Array, "batch keep dim"]) -> Float[Array, "batch keep language_dim"]:
        features = self.layer_norm(features) if self.layer_norm else features
        return self.linear_2(ACTIVATIONS[self.activation](self.linear_1(features)))


def _norm(dim: int, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(dim, epsilon=1e-5, use_fast_variance=False, param_dtype=dtype, rngs=rngs)
