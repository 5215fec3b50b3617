"""InternVL's vision encoder in Flax: as CLIP's, with scaled layers, and norms of queries and keys in large ones.

The modules carry the names of the Hugging Face layout.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from .attention import AttentionFunction, Mask, Queries, Tokens, attention
from .layers import MLP, Attention, Layer, TowerConfig, check
from .tower import Tower

Hidden = Float[Array, "batch length dim"]
RMS_EPSILON = 1e-6  # of queries and keys, in transformers whatever the configuration says


@dataclass(frozen=True)
class InternViTConfig(TowerConfig):
    """What `config.json` says of an InternViT, under its keys; the defaults are those of transformers."""

    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    image_size: int = 448
    patch_size: int = 14
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    norm_type: str = "layer_norm"
    attention_bias: bool = False
    use_qk_norm: bool = False
    use_absolute_position_embeddings: bool = True
    use_mean_pooling: bool = True


class ScaledAttention(Attention):
    def __init__(self, config: InternViTConfig, function: AttentionFunction, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        super().__init__(config, function, dtype, rngs, config.attention_bias, "projection_layer")
        norms = (_rms(config.hidden_size, RMS_EPSILON, dtype, rngs) for _ in range(2))
        self.q_norm, self.k_norm = norms if config.use_qk_norm else (None, None)

    def query(self, x: Float[Array, "batch queries dim"]) -> Queries:
        query = self.q_proj(x)
        return self._heads(self.q_norm(query) if self.q_norm else query)

    def keys_values(self, x: Hidden) -> tuple[Tokens, Tokens]:
        keys = self.k_proj(x)
        return self._heads(self.k_norm(keys) if self.k_norm else keys), self._heads(self.v_proj(x))


class ScaledLayer(Layer):
    def __init__(self, config: InternViTConfig, function: AttentionFunction, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.layernorm_before = _norm(config, dtype, rngs)
        self.attention = ScaledAttention(config, function, dtype, rngs)
        self.layernorm_after = _norm(config, dtype, rngs)
        self.mlp = MLP(config, dtype, rngs)
        self.lambda_1, self.lambda_2 = (nnx.Param(jnp.full((config.hidden_size,), 0.1, dtype)) for _ in range(2))

    @property
    def attending(self) -> Attention:
        return self.attention

    def normed(self, hidden: Hidden) -> Hidden:
        return self.layernorm_before(hidden)

    def finish_layer(
        self,
        hidden: Float[Array, "batch queries dim"],
        query: Queries,
        keys: Tokens,
        values: Tokens,
        mask: Mask | None = None,
    ) -> Float[Array, "batch queries dim"]:
        hidden = hidden + self.lambda_1[...] * self.attention(query, keys, values, mask)
        return hidden + self.lambda_2[...] * self.mlp(self.layernorm_after(hidden))


class Patches(nnx.Module):
    def __init__(self, config: InternViTConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        patch = (config.patch_size, config.patch_size)
        self.projection = nnx.Conv(
            config.num_channels, config.hidden_size, patch, patch, padding="VALID", param_dtype=dtype, rngs=rngs
        )

    def __call__(self, pixel_values: Float[Array, "batch channels height width"]) -> Hidden:
        grid = self.projection(pixel_values.transpose(0, 2, 3, 1))  # batch rows columns dim
        return grid.reshape(grid.shape[0], grid.shape[1] * grid.shape[2], grid.shape[3])


class Embeddings(nnx.Module):
    def __init__(self, config: InternViTConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        dim = config.hidden_size
        self.cls_token = nnx.Param(jax.random.normal(rngs.params(), (1, 1, dim), dtype))
        self.patch_embeddings = Patches(config, dtype, rngs)
        has_positions = config.use_absolute_position_embeddings
        positions = nnx.Param(jax.random.normal(rngs.params(), (1, 1 + config.tokens, dim), dtype))
        self.position_embeddings = positions if has_positions else None

    def __call__(self, pixel_values: Float[Array, "batch channels height width"]) -> Hidden:
        cls = self.cls_token[...]
        patches = self.patch_embeddings(pixel_values.astype(cls.dtype))
        tokens = jnp.concatenate([jnp.broadcast_to(cls, (patches.shape[0], *cls.shape[1:])), patches], axis=1)
        return tokens if self.position_embeddings is None else tokens + self.position_embeddings[...]


class InternViT(Tower):
    """InternVL's vision encoder with random weights; `PrunedEncoder.from_pretrained` reads some.

    `useful` layers are made, as of `CLIPTower`. Raises ValueError as that.
    """

    def __init__(
        self,
        config: InternViTConfig,
        *,
        attention: AttentionFunction = attention,
        dtype: DTypeLike = jnp.float32,
        useful: int | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        check(config)
        self.config = config
        self.embeddings = Embeddings(config, dtype, rngs)
        count = config.num_hidden_layers if useful is None else useful
        self.layer = nnx.List(ScaledLayer(config, attention, dtype, rngs) for _ in range(count))
        ends = count == config.num_hidden_layers and not config.use_mean_pooling
        self.layernorm = _layer_norm(config, dtype, rngs) if ends else None

    @property
    def layers(self) -> Any:  # type: ignore[override]
        return self.layer

    @property
    def dtype(self) -> jnp.dtype:
        return self.embeddings.cls_token[...].dtype

    def embedded(self, pixel_values: Float[Array, "batch channels height width"]) -> Hidden:
        return self.embeddings(pixel_values)

    def ended(self, hidden: Hidden) -> Hidden:
        return self.layernorm(hidden) if self.layernorm else hidden


def _norm(config: InternViTConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.LayerNorm | nnx.RMSNorm:
    if config.norm_type == "layer_norm":
        return _layer_norm(config, dtype, rngs)
    if config.norm_type == "rms_norm":
        return _rms(config.hidden_size, config.layer_norm_eps, dtype, rngs)
    raise ValueError(f"norm_type must be 'layer_norm' or 'rms_norm', got {config.norm_type!r}")


def _layer_norm(config: InternViTConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.LayerNorm:
    epsilon = config.layer_norm_eps
    return nnx.LayerNorm(config.hidden_size, epsilon=epsilon, use_fast_variance=False, param_dtype=dtype, rngs=rngs)


def _rms(dim: int, epsilon: float, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.RMSNorm:
    return nnx.RMSNorm(dim, epsilon=epsilon, param_dtype=dtype, rngs=rngs)
