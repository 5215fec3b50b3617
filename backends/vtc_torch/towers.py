"""What the pruned encoder has to know of a vision tower, once: CLIP and InternViT, with CLS, or SigLIP, without."""

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from vtc_core import checkpoints, checks
from vtc_core.methods import METHODS, Method
from vtc_core.methods.method import OF_CLS

from .blocks import layers_of

CLIP, SIGLIP, INTERNVL = "clip_vision_model", "siglip_vision_model", "internvl_vision"  # `model_type`
TOWERS = "CLIP, SigLIP or InternVL"


class Size(NamedTuple):
    tokens: int  # patch tokens, CLS excluded
    depth: int  # encoder layers


class Sides(NamedTuple):
    """In pixels."""

    image: int
    patch: int


def sides(settings: Any) -> Sides:
    """Of a tower's configuration, or its embeddings; InternViT has a height and a width, which must be equal."""
    return Sides(*(checkpoints.side(name, getattr(settings, name)) for name in ("image_size", "patch_size")))


def size_of_config(vision_config: Any) -> Size:
    """The size of the tower that a configuration describes."""
    image, patch = sides(vision_config)
    return Size((image // patch) ** 2, vision_config.num_hidden_layers)


def size_of_tower(tower: Any, method: Method | None = None) -> Size:
    """The size of a live tower, or an error that says what it lacks for `method`."""
    name = type(tower).__name__
    if not isinstance(tower, nn.Module):
        raise TypeError(f"tower must be a {TOWERS} vision model (torch.nn.Module), got {name}")
    for inner in ("vision_model", "vision_tower"):
        if hasattr(tower, inner):
            raise ValueError(f"tower must be the vision model itself, got {name}: pass its `.{inner}`")
    kind = getattr(getattr(tower, "config", None), "model_type", None)
    has_parts = hasattr(tower, "embeddings") and hasattr(tower, "encoder")
    known = kind in (SIGLIP, INTERNVL) or (has_parts and has_cls(tower) and hasattr(tower, "pre_layrnorm"))
    if not has_parts or not known:
        raise ValueError(f"tower must be a {TOWERS} vision model (such as transformers' CLIPVisionModel), got {name}")
    if method and not has_cls(tower):
        refuse_without_cls(name, method)
    if method and kind == INTERNVL:
        refuse_progressive(name, method)
    image, patch = sides(tower.embeddings)
    return Size((image // patch) ** 2, len(layers_of(tower)))


def has_cls(tower: Any) -> bool:
    """Whether token 0 of the tower's hidden states is CLS, and patch i therefore token i + 1."""
    return hasattr(tower.embeddings, "class_embedding") or hasattr(tower.embeddings, "cls_token")


def ended(tower: Any, hidden: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
    """What of the last layer feeds a projector: InternVL takes what comes after its tower's last norm, if there is one.

    transformers has it in `last_hidden_state`, where -1 is read, not in `hidden_states`.
    """
    return tower.layernorm(hidden) if hasattr(tower, "layernorm") else hidden


def embed(tower: Any, pixel_values: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch length dim"]:
    """Pixels to `hidden_states[0]`; CLIP has a norm there, others have none. Positions are not interpolated."""
    checks.pixels(pixel_values, *sides(tower.embeddings))
    hidden = tower.embeddings(pixel_values)
    return tower.pre_layrnorm(hidden) if hasattr(tower, "pre_layrnorm") else hidden


def refuse_without_cls(name: str, method: Method) -> None:
    """A ValueError where a method looks at CLS, which `name` has none of; it says what to do."""
    if looks_at_cls(method):
        others = ", ".join(known for known, kind in METHODS.items() if not looks_at_cls(kind))
        raise ValueError(
            f"{name} has no CLS token, and method {method.name!r} looks at it: take a CLIP tower, "
            f"a method that does without ({others}), or `vtc_torch.prune` with a signal of your own"
        )


def refuse_progressive(name: str, method: Method) -> None:
    """A ValueError where a method drops tokens on its way through InternViT; `name` is for the message."""
    if method.progressive:
        raise ValueError(
            f"method {method.name!r} drops tokens inside the encoder, and the layers of {name} take no attention mask, "
            "which it needs: take another method, or a CLIP tower"
        )


def looks_at_cls(method: Method | type[Method]) -> bool:
    return any(field in OF_CLS for field in method.needs)
