"""A vision encoder that prunes on its way and costs less than the whole one: pixels in, `Pruned` out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsIndex

from jaxtyping import Float
from torch import Tensor, nn

from vtc_core import checks, shuffled
from vtc_core.methods import Choice, Method, Seen, VtcCls, method_of, refuse_without_prompt, spelled

from . import held, loading, towers
from .configuration import read_config
from .progressive import ProgressiveWalk
from .verbs import Pruned
from .walk import Looked, Walk

NO_PROMPT = "an encoder by itself is given none"


class PrunedEncoder(nn.Module):
    """`keep` tokens of every picture, chosen by a method among those of `hidden_states[feature_layer]`.

    Wraps a live Hugging Face `CLIPVisionModel`, `SiglipVisionModel` or `InternVLVisionModel` and shares its weights,
    device, dtype and attention implementation (sdpa, eager, flash_attention_2, ...).

    Modifications to the wrapped encoder's forward pass, none of which changes a token of the tower:

    - in the layers that the method looks at, what it needs is computed beside attention, in float32: with VTC-CLS one
      row (1 x 1+tokens) per head; no attention map is ever kept;
    - nothing after the last useful layer is run (LLaVA's feature layer -2 leaves out layer 23 of 24);
    - a method that sees no features chooses before the last useful layer is finished: keys and values are computed for
      all tokens, but queries, attention output and MLP for the kept tokens only. If that layer is looked at, it needs
      the queries as well: that of CLS for CLS attention, all for received attention. A method that sees features,
      or merges them, has that layer run whole, and no more.

    Layers that are run whole are called as modules: hooks, checkpointing, sharding, offloading work in them. Of a last
    layer that is run in parts the parts are called, not the layer nor its attention: no hook on those is run.

    Args:
        tower: a vision model as above, or another with CLIP's parts (see `towers`).
        keep: tokens that come out, in [1, tokens].
        method: a name with parameters ("vtc-cls:layers=3", "visionzip"), or a value (`vtc_core.methods`).
        feature_layer: which hidden state the features are, as in `hidden_states[feature_layer]`. A sequence, as
            VipLLaVA's (-2, -5, -8, -11, 6), concatenates several along dim in that order, at the same kept indices; 0,
            the embeddings, may be among them. The latest is then the one that layers and cost are counted from. Of
            InternVL the last is `last_hidden_state`, as its projector is given it.
        projector: what the features of the fed tokens go through, if anything; needed by methods that see projected
            tokens.
        shuffle: a token is a square of so many patches on a side, their features side by side (InternVL's pixel
            shuffle: 2, which `from_pretrained` reads). Whole squares are scored and kept, see `vtc_core.shuffled`.

    Raises:
        ValueError, TypeError: an argument that does not fit this encoder; a method that looks at CLS for an encoder
            without; a method that sees projected tokens without a projector; one that reads the prompt.
    """

    def __init__(
        self,
        tower: nn.Module,
        keep: SupportsIndex = 64,
        method: Method | str | Mapping[str, Any] = VtcCls(),  # noqa: B008, it is frozen
        feature_layer: int | Sequence[int] = -2,
        projector: nn.Module | None = None,
        shuffle: int = 1,
    ) -> None:
        super().__init__()
        size = towers.size_of_tower(tower, method_of(method))
        self.walk = walk_of(*size, keep, method, feature_layer, shuffle)
        refuse_without_prompt(self.method, NO_PROMPT)
        if "projected" in self.method.needs and projector is None:
            raise ValueError(f"method {self.method.name!r} looks at projected tokens: a projector is needed")
        self.tokens = shuffled.count(size.tokens, shuffle)
        self.shuffle = shuffle
        self.keep = int(keep)
        self.tower = tower
        self.projector = projector
        self.training = tower.training

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str,
        keep: SupportsIndex = 64,
        method: Method | str | Mapping[str, Any] = VtcCls(),  # noqa: B008
        feature_layer: int | Sequence[int] | None = None,
        *,
        project: bool = False,
        **model_kwargs: Any,
    ) -> "PrunedEncoder":
        """Read the tower of a CLIP, SigLIP, LLaVA or InternVL checkpoint in the Hugging Face layout, and nothing else.

        `feature_layer=None` takes the checkpoint's own `vision_feature_layer`, -2 where it has none (CLIP, SigLIP).
        Of an InternVL, `keep` counts what its projector is given: squares of patches.
        `project=True` reads a LLaVA's projector as well, which methods that see projected tokens need.
        `model_kwargs` go to transformers: `dtype`, `device_map`, `attn_implementation`, `revision`, ...

        Raises:
            OSError: no checkpoint there.
            ValueError: a checkpoint without a tower that can be pruned, or with tensors missing (they are named).
        """
        refuse_without_prompt(method_of(method), NO_PROMPT)
        hub_kwargs = loading.hub_kwargs(model_kwargs)
        config = read_config(path_or_hub_id, **hub_kwargs)
        vision_config = loading.tower_config(config, path_or_hub_id, method_of(method))
        made = loading.feature_layer(config) if feature_layer is None else feature_layer
        shuffle = loading.shuffle_of(config)
        walk_of(*towers.size_of_config(vision_config), keep, method, made, shuffle)
        found = held.check_tower(path_or_hub_id, config, **hub_kwargs)
        held.refuse_quantised(path_or_hub_id, found, project)
        projector = loading.read_projector(path_or_hub_id, config, **model_kwargs) if project else None
        tower = loading.read_tower(path_or_hub_id, vision_config, **model_kwargs)
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

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        choose: Callable[[Seen], Choice] | None = None,
    ) -> Pruned:
        """(batch channels height width) -> features (batch keep dim), indices (batch keep), scores (batch tokens).

        `choose` takes the place of the method's own choice of `keep` tokens: it sees what the method sees, and may
        choose as many as it likes, the same number for each picture.
        """
        looked = self.look(pixel_values)
        choice = choose(looked.seen) if choose else looked.choose(self.keep)
        checks.choice(choice, mixable=looked.seen.features is not None)
        return Pruned(looked.feed(choice, self.projector), choice.indices.long(), choice.scores)

    def choose(self, pixel_values: Float[Tensor, "batch channels height width"]) -> Choice:
        """What is fed of each picture, with the weights of a method that merges; the features are not finished."""
        return self.look(pixel_values).choose(self.keep)

    def look(self, pixel_values: Float[Tensor, "batch channels height width"]) -> Looked:
        """The walk without the choice: for those who choose over several tiles, or want the weights of a merge."""
        return self.walk(self.tower, pixel_values, self.projector)

    def extra_repr(self) -> str:
        return f"keep={self.keep} of {self.tokens}, method={spelled(self.method)!r}, layers={self.layers}"


def walk_of(
    tokens: int,
    depth: int,
    keep: SupportsIndex,
    method: Method | str | Mapping[str, Any],
    feature_layer: int | Sequence[int],
    shuffle: int = 1,
) -> Walk | ProgressiveWalk:
    """The walk through a tower of so many patches and layers, or the refusal of what does not fit it."""
    method = method_of(method)
    shuffled.refuse_progressive(method, shuffle)
    checks.encoder(shuffled.count(tokens, shuffle), depth, keep, method, feature_layer)
    feature_layers = checks.feature_layers(depth, feature_layer)
    layers = method.layers_seen(depth, max(feature_layers))
    if method.progressive:
        return ProgressiveWalk(method, layers, feature_layers, int(keep))
    return Walk(method, layers, feature_layers, shuffle)
