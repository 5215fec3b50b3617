"""A vision encoder that prunes on its way and costs less than the whole one: pixels in, `Pruned` out."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from vtc_core import checks, shuffled
from vtc_core.methods import Choice, Method, Seen, VtcCls, method_of, refuse_without_prompt

from . import exporting, loading
from .attention import AttentionFunction, attention
from .checkpoint import Checkpoint
from .progressive import ProgressiveWalk
from .tower import Tower, TowerConfig
from .verbs import Pruned
from .walk import Looked, Walk


class PrunedEncoder(nnx.Module):
    """`keep` tokens of every picture, chosen by a method among those of `hidden_states[feature_layer]`.

    Meant to be jitted, `nnx.jit(encoder)` or as part of a function of yours; one compilation a batch size.

    Modifications to the forward pass of `CLIPTower` or `InternViT`, none of which changes a token of the tower:

    - in the layers that the method looks at, what it needs is computed beside attention, in float32: with VTC-CLS one
      row (1 x 1+tokens) per head; no attention map is kept;
    - nothing after the last useful layer is run (LLaVA's feature layer -2 leaves out layer 23 of 24);
    - a method that sees no features chooses before the last useful layer is finished: keys and values are computed for
      all tokens, but queries, attention output and MLP for the kept tokens only. If that layer is looked at, it needs
      the queries as well: that of CLS for CLS attention, all for received attention. A method that sees features,
      or merges them, has that layer run whole, and no more.

    Args:
        tower: its parameters are this module's, and may be trained.
        keep: tokens that come out, in [1, tokens].
        method: a name with parameters ("vtc-cls:layers=3", "visionzip"), or a value (`vtc_core.methods`).
        feature_layer: which hidden state the features are, as in `hidden_states[feature_layer]`. A sequence, as
            VipLLaVA's (-2, -5, -8, -11, 6), concatenates several along dim in that order, at the same kept indices.
        projector: what the features of the fed tokens go through, if anything; needed by methods that see projected
            tokens.
        shuffle: a token is a square of so many patches on a side, their features side by side (InternVL's pixel
            shuffle: 2, which `from_pretrained` reads). Whole squares are scored and kept, see `vtc_core.shuffled`.

    Raises:
        ValueError, TypeError: an argument that does not fit this tower; no projector, and a method that needs one.
    """

    def __init__(
        self,
        tower: Tower,
        keep: SupportsIndex = 64,
        method: Method | str | Mapping[str, Any] = VtcCls(),  # noqa: B008, it is frozen
        feature_layer: int | Sequence[int] = -2,
        projector: Callable[[Array], Array] | None = None,
        shuffle: int = 1,
    ) -> None:
        self.walk = walk_of(tower.config, keep, method, feature_layer, shuffle)
        if "projected" in self.method.needs and projector is None:
            raise ValueError(f"method {self.method.name!r} looks at projected tokens: a projector is needed")
        if len(tower.layers) < self.walk.needed:
            raise ValueError(
                f"tower must hold its first {self.walk.needed} layers, which are used here, got {len(tower.layers)}"
            )
        self.tokens = shuffled.count(tower.config.tokens, shuffle)
        self.keep = int(keep)
        self.tower = tower
        self.projector = projector

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str | PathLike[str],
        keep: SupportsIndex = 64,
        method: Method | str | Mapping[str, Any] = VtcCls(),  # noqa: B008
        feature_layer: int | Sequence[int] | None = None,
        *,
        project: bool = False,
        dtype: DTypeLike | None = None,
        attention: AttentionFunction = attention,
        **hub_kwargs: Any,
    ) -> "PrunedEncoder":
        """Read the tower of a CLIP, LLaVA or InternVL checkpoint in the Hugging Face layout: config.json, safetensors.

        Only the tensors that are used are read: no language model, and no layer that the method does not come to. From
        the hub, only the files that hold them are fetched.

        `feature_layer=None` takes the checkpoint's own `vision_feature_layer`, -2 where it has none (CLIP).
        `project=True` has the features of the fed tokens go through LLaVA's projector; methods that see projected
        tokens need it.
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
        shuffle = loading.shuffle(checkpoint)
        walk = walk_of(config, keep, method, made, shuffle)
        dim = config.hidden_size * len(walk.feature_layers) * shuffle**2
        projector = loading.read_projector(checkpoint, dim, dtype) if project else None
        tower = loading.read_tower(checkpoint, config, walk.needed, attention, dtype)
        return cls(tower, keep, method, made, projector, shuffle)

    @property
    def method(self) -> Method:
        return self.walk.method

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the layers that the method looks at."""
        return self.walk.layers

    @property
    def feature_layers(self) -> tuple[int, ...]:
        """Numbers of the hidden states that are the features."""
        return self.walk.feature_layers

    def __call__(
        self,
        pixel_values: Float[Array, "batch channels height width"],
        choose: Callable[[Seen], Choice] | None = None,
    ) -> Pruned:
        """(batch channels height width) -> features (batch keep dim), indices (batch keep), scores (batch tokens).

        `choose` takes the place of the method's own choice of `keep` tokens: it sees what the method sees, and may
        choose as many as it likes, the same number for each picture.
        """
        looked = self.look(pixel_values)
        choice = choose(looked.seen) if choose else looked.choose(self.keep)
        checks.choice(choice, mixable=looked.seen.features is not None)
        return Pruned(looked.feed(choice, self.projector), choice.indices, choice.scores)

    def choose(self, pixel_values: Float[Array, "batch channels height width"]) -> Choice:
        """What is fed of each picture, with the weights of a method that merges; the features are not finished."""
        return self.look(pixel_values).choose(self.keep)

    def look(self, pixel_values: Float[Array, "batch channels height width"]) -> Looked:
        """The walk without the choice: for those who choose over several tiles, or want the weights of a merge."""
        return self.walk(self.tower, pixel_values, self.projector)

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
        dtype = jnp.promote_types(self.tower.dtype, jnp.float32)
        exporting.write(lambda x: tuple(self(x)), picture, dtype, Path(path), platforms, overwrite)


def walk_of(
    config: TowerConfig,
    keep: SupportsIndex,
    method: Method | str | Mapping[str, Any],
    feature_layer: int | Sequence[int],
    shuffle: int = 1,
) -> Walk | ProgressiveWalk:
    """The walk through a tower of this size, or the refusal of what does not fit it."""
    method, depth = method_of(method), config.num_hidden_layers
    refuse_without_prompt(method, "an encoder by itself is given none")
    shuffled.refuse_progressive(method, shuffle)
    checks.encoder(shuffled.count(config.tokens, shuffle), depth, keep, method, feature_layer)
    feature_layers = checks.feature_layers(depth, feature_layer)
    layers = method.layers_seen(depth, max(feature_layers))
    if method.progressive:
        return ProgressiveWalk(method, layers, feature_layers, int(keep))
    return Walk(method, layers, feature_layers, shuffle)
