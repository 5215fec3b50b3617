"""CLIP's vision encoder in Flax, whole: pixels in, all hidden states out. `encoder.py` is the pruned one.

The modules carry the names of the Hugging Face layout (`pre_layrnorm` is not our misspelling).
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from vtc_core import arguments, checks

from .attention import AttentionFunction, attention
from .layers import Layer, check, norm
from .layers import TowerConfig as TowerConfig


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


class Tower(nnx.Module):
    """What a walk needs of a vision encoder whose token 0 is CLS."""

    config: TowerConfig
    layers: nnx.List[Layer]

    @property
    def dtype(self) -> jnp.dtype:
        raise NotImplementedError

    def embed(self, pixel_values: Float[Array, "batch channels height width"]) -> Float[Array, "batch length dim"]:
        """The input of the first layer, `hidden_states[0]`; length = 1 + tokens, CLS first."""
        checks.pixels(pixel_values, self.config.image_size, self.config.patch_size)
        arguments.floating("pixel_values", pixel_values)
        return self.embedded(pixel_values)

    def embedded(self, pixel_values: Float[Array, "batch channels height width"]) -> Float[Array, "batch length dim"]:
        raise NotImplementedError

    def ended(self, hidden: Float[Array, "batch length dim"]) -> Float[Array, "batch length dim"]:
        """What of the last layer feeds a projector."""
        return hidden

    def __call__(self, pixel_values: Float[Array, "batch channels height width"]) -> list[Array]:
        """(batch channels height width) -> layers + 1 of (batch 1+tokens dim), transformers' `hidden_states`."""
        hidden_states = [self.embed(pixel_values)]
        for layer in self.layers:
            hidden_states.append(layer(hidden_states[-1]))
        return hidden_states


class CLIPTower(Tower):
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
        check(config)
        self.config = config
        self.embeddings = Embeddings(config, dtype, rngs)
        self.pre_layrnorm = norm(config, dtype, rngs)
        count = config.num_hidden_layers if useful is None else useful
        self.layers = nnx.List(Layer(config, attention, dtype, rngs) for _ in range(count))

    @property
    def dtype(self) -> jnp.dtype:
        return self.embeddings.class_embedding[...].dtype

    def embedded(self, pixel_values: Float[Array, "batch channels height width"]) -> Float[Array, "batch length dim"]:
        return self.pre_layrnorm(self.embeddings(pixel_values))
