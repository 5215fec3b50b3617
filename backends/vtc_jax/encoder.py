"""A CLIP vision encoder that prunes on its way and costs less than the whole one: pixels in, `Pruned` out."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from vtc_core import checks, resolve_layers

from . import exporting, loading
from .attention import AttentionFunction, attention
from .checkpoint import Checkpoint
from .tower import CLIPTower, Projector
from .verbs import Pruned, attend, gather, score, select


class PrunedEncoder(nnx.Module):
    """The `keep` patch tokens of `hidden_states[feature_layer]` to which CLS attends most, for every picture.

    The method is VTC-CLS (arXiv 2412.05819, section 3), see `vtc_core.spec`. Meant to be jitted, `nnx.jit(encoder)` or
    as part of a function of yours; one compilation a batch size.

    Modifications to the forward pass of `CLIPTower`, none of which changes a kept token:
    - in the K `layers` that are ensembled, one more row of attention is computed: (1 x 1+tokens) per head, in float32;
    - nothing after the last useful layer is run (LLaVA's feature layer -2 leaves out layer 23 of 24);
    - in the last useful layer keys and values are computed for all tokens, but queries, attention output and MLP for
      the kept tokens only.

    Args:
        tower: its parameters are this module's, and may be trained.
        keep: tokens kept, in [1, tokens].
        layers: K, the last K useful layers, or a sequence of layer numbers, as `vtc_core.resolve_layers` reads them.
        reduce: how scores of layers are put together: 'sum', 'mean', 'max' or 'min'.
        feature_layer: which hidden state the features are, as in `hidden_states[feature_layer]`.
        projector: what the features of the kept tokens go through, if anything.

    Raises:
        ValueError, TypeError: an argument that does not fit this tower.
    """

    def __init__(
        self,
        tower: CLIPTower,
        keep: SupportsIndex = 64,
        layers: SupportsIndex | Sequence[SupportsIndex] = 3,
        reduce: str = "sum",
        feature_layer: int = -2,
        projector: Projector | None = None,
    ) -> None:
        depth = len(tower.layers)
        self.last = checks.last_layer(depth, feature_layer)
        checks.encoder(tower.config.tokens, depth, keep, layers, reduce, feature_layer)
        self.layers = resolve_layers(layers, depth, feature_layer)
        self.tokens = tower.config.tokens
        self.keep = int(keep)
        self.reduce = reduce
        self.tower = tower
        self.projector = projector

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str | PathLike[str],
        keep: SupportsIndex = 64,
        layers: SupportsIndex | Sequence[SupportsIndex] = 3,
        reduce: str = "sum",
        feature_layer: int | None = None,
        *,
        project: bool = False,
        dtype: DTypeLike | None = None,
        attention: AttentionFunction = attention,
        **hub_kwargs: Any,
    ) -> "PrunedEncoder":
        """Read the vision tower of a CLIP or LLaVA checkpoint in the Hugging Face layout: `config.json`, safetensors.

        Only the tensors that are used are read: no language model, and no layer after the feature layer. From the hub,
        only the files that hold them are fetched.

        `feature_layer=None` takes the checkpoint's own `vision_feature_layer`, -2 where it has none (CLIP).
        `project=True` has the features of the kept tokens go through LLaVA's projector.
        `dtype=None` takes the checkpoint's, that of its class embedding.
        `attention` computes softmax(scale * query . keys) . values, with the arguments of
        `jax.nn.dot_product_attention`; `functools.partial` of that with `implementation="cudnn"` is flash attention on
        NVIDIA, in 16 bits. The default is written in XLA's operations, for every platform.
        `hub_kwargs` go to `huggingface_hub.snapshot_download`: `revision`, `token`, `cache_dir`, ...

        Raises:
            OSError: no checkpoint there, or one without safetensors.
            ValueError: a checkpoint without a CLIP tower, or with tensors that are missing, unknown or of other shapes
                than its configuration says (they are named); no projector to project with.
        """
        checkpoint = Checkpoint(path_or_hub_id, **hub_kwargs)
        config = loading.tower_config(checkpoint)
        made = loading.feature_layer(checkpoint) if feature_layer is None else feature_layer
        last = checks.last_layer(config.num_hidden_layers, made)
        checks.encoder(config.tokens, config.num_hidden_layers, keep, layers, reduce, made)
        numbers = resolve_layers(layers, config.num_hidden_layers, made)
        projector = loading.read_projector(checkpoint, config.hidden_size, dtype) if project else None
        tower = loading.read_tower(checkpoint, config, last + 1, attention, dtype)
        return cls(tower, keep, numbers, reduce, -1, projector)

    def __call__(self, pixel_values: Float[Array, "batch channels height width"]) -> Pruned:
        """(batch channels height width) -> features (batch keep dim), indices (batch keep), scores (batch tokens)."""
        hidden = self.tower.embed(pixel_values)  # batch 1+tokens dim
        rows = []
        for number, layer in enumerate(self.tower.layers[: self.last]):
            normed = layer.layer_norm1(hidden)
            query, (keys, values) = layer.self_attn.query(normed), layer.self_attn.keys_values(normed)
            if number in self.layers:
                rows.append(attend(query[:, 0], keys.swapaxes(1, 2), layer.self_attn.scale))
            hidden = layer.rest(hidden, query, keys, values)

        # The last useful layer: scores are complete as soon as it has its keys, and then only kept tokens go on.
        layer = self.tower.layers[self.last]
        normed = layer.layer_norm1(hidden)
        keys, values = layer.self_attn.keys_values(normed)
        if self.last in self.layers:
            cls_query = layer.self_attn.query(normed[:, :1])
            rows.append(attend(cls_query[:, 0], keys.swapaxes(1, 2), layer.self_attn.scale))
        scores = score(jnp.stack(rows), self.reduce)
        indices = select(scores, self.keep)
        kept, kept_normed = (gather(x[:, 1:], indices) for x in (hidden, normed))
        features = layer.rest(kept, layer.self_attn.query(kept_normed), keys, values)
        return Pruned(features if self.projector is None else self.projector(features), indices, scores)

    def export(
        self,
        path: str | PathLike[str],
        *,
        platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
        overwrite: bool = False,
    ) -> None:
        """Write this encoder as a `jax.export` artefact: StableHLO, the weights inside, for batches of 1 and more.

        Loaded and called in three lines, with JAX and without vtc:

            from jax import export
            encode = export.deserialize(bytearray(open(path, "rb").read())).call
            features, indices, scores = encode(pixel_values)  # (batch channels height width), float32

        The file is read back, run on this machine and compared with the encoder before it gets its name; `platforms`
        must include this one.

        Raises:
            FileExistsError: there is such a file, and no `overwrite=True`.
            RuntimeError: the file does not do what this encoder does; nothing is left of it.
        """
        config = self.tower.config
        picture = (config.num_channels, config.image_size, config.image_size)
        dtype = jnp.promote_types(self.tower.embeddings.class_embedding[...].dtype, jnp.float32)
        exporting.write(lambda x: tuple(self(x)), picture, dtype, Path(path), platforms, overwrite)
