"""Multiply-adds of every way to run an encoder, from its geometry: the floor that a measured ratio is held against.

Counted are the products of matrices (projections, attention, MLP, patch embedding), for one picture. Norms, softmax,
activations and copies are not: they are what a measured ratio may lose, or win, against the floor.
"""

import math
from typing import Any, NamedTuple

from vtc_core import checkpoints, checks
from vtc_core.methods import Method, VtcCls
from vtc_core.methods.method import ALL_QUERIES, ATTENTION, WHOLE


class Geometry(NamedTuple):
    """The sizes of a CLIP vision tower that its cost depends on."""

    tokens: int  # patch tokens, CLS excluded
    dim: int
    mlp: int  # hidden size of the MLP
    depth: int
    heads: int
    patch: int  # side of a patch, in pixels

    @property
    def length(self) -> int:
        """Tokens that attend to each other: CLS and all patches."""
        return 1 + self.tokens

    def projection(self, width: int) -> int:
        """Multiply-adds of LLaVA's projector into a language model of that width, for one token."""
        return self.dim * width + width * width

    @property
    def image_size(self) -> int:
        """Side of a picture, in pixels."""
        return math.isqrt(self.tokens) * self.patch


# The towers of LLaVA-1.5 (openai/clip-vit-large-patch14-336) and of openai/clip-vit-base-patch16.
GEOMETRIES = {
    "vit-l-336": Geometry(tokens=576, dim=1024, mlp=4096, depth=24, heads=16, patch=14),
    "vit-b-224": Geometry(tokens=196, dim=768, mlp=3072, depth=12, heads=12, patch=16),
}


def geometry_of(vision_config: Any) -> Geometry:
    """The geometry that a CLIP vision configuration (`config.json`, transformers' attribute names) describes."""
    image, patch = (checkpoints.side(name, getattr(vision_config, name)) for name in ("image_size", "patch_size"))
    return Geometry(
        (image // patch) ** 2,
        vision_config.hidden_size,
        vision_config.intermediate_size,
        vision_config.num_hidden_layers,
        vision_config.num_attention_heads,
        patch,
    )


def whole(g: Geometry) -> int:
    """All layers, as stock LLaVA runs its tower. The usual way to prune costs this too, and the maps' memory."""
    return _embedding(g) + g.depth * _layer(g, g.length)


def pruned(g: Geometry, keep: int, method: Method = VtcCls(), feature_layer: int = -2) -> int:  # noqa: B008
    """What the pruned encoder of `vtc_torch` and `vtc_jax` does; the choice itself is not in it.

    All layers before the last useful one, and what the method sees in those that it looks at. Then of the last useful
    one keys and values for all tokens, queries, attention and MLP for the `keep` chosen tokens, and the queries that
    are asked for the method; or, for a method that sees features or merges them, the whole of it.

    How many tokens a progressive method drops on its way hangs on the picture: counted is that of which it drops none
    before the last useful layer, which costs most, and is what random weights come near to.
    """
    checks.encoder(g.tokens, g.depth, keep, method, feature_layer)
    last, layers = checks.last_layer(g.depth, feature_layer), method.layers_seen(g.depth, feature_layer)
    if method.progressive:
        few = g._replace(tokens=keep)
        return _embedding(g) + len(layers) * _layer(g, g.length) + (last + 1 - len(layers)) * _layer(few, few.length)
    asking = g.length if any(name in ALL_QUERIES for name in method.needs) else 1
    seen = len(layers) * sum(_signal(g, name) for name in method.needs if name in ATTENTION)
    work = _embedding(g) + last * _layer(g, g.length) + seen
    if method.merges or last + 1 in layers or any(name in WHOLE for name in method.needs):
        beyond = (asking + g.length) * g.dim**2 if last + 1 in layers else 0  # queries and keys of the layer after it
        return work + _layer(g, g.length) + beyond
    return work + _layer(g, keep) + (asking * g.dim**2 if last in layers else 0)


def _signal(g: Geometry, name: str) -> int:
    """What is made of the queries and keys of one layer: queries that are asked, times all keys."""
    return {"received_attention": g.length, "sink_attention": 2 * g.tokens}.get(name, 1) * g.length * g.dim


def _embedding(g: Geometry) -> int:
    return g.tokens * g.dim * 3 * g.patch**2


def _layer(g: Geometry, queries: int) -> int:
    """One layer in which `queries` of the tokens go on, and all are attended to."""
    keys_values = g.length * 2 * g.dim * g.dim
    projections = queries * 2 * g.dim * g.dim  # queries and output
    attention = 2 * queries * g.length * g.dim
    return keys_values + projections + attention + queries * 2 * g.dim * g.mlp
