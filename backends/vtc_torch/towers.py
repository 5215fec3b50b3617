"""What the pruned encoder has to know of a vision tower, once: CLIP, with a CLS token, or SigLIP, without."""

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from vtc_core import checks
from vtc_core.methods import METHODS, Method
from vtc_core.methods.method import OF_CLS


class Size(NamedTuple):
    tokens: int  # patch tokens, CLS excluded
    depth: int  # encoder layers


def size_of_config(vision_config: Any) -> Size:
    """The size of the tower that a `CLIPVisionConfig` or `SiglipVisionConfig` describes."""
    return Size((vision_config.image_size // vision_config.patch_size) ** 2, vision_config.num_hidden_layers)


def size_of_tower(tower: Any, method: Method | None = None) -> Size:
    """The size of a live tower, or an error that says what it lacks for `method`."""
    name = type(tower).__name__
    if not isinstance(tower, nn.Module):
        raise TypeError(f"tower must be a CLIP or SigLIP vision model (torch.nn.Module), got {name}")
    for inner in ("vision_model", "vision_tower"):
        if hasattr(tower, inner):
            raise ValueError(f"tower must be the vision model itself, got {name}: pass its `.{inner}`")
    kind = getattr(getattr(tower, "config", None), "model_type", None)
    has_parts = hasattr(tower, "embeddings") and hasattr(tower, "encoder")
    if not has_parts or not (kind == "siglip_vision_model" or (has_cls(tower) and hasattr(tower, "pre_layrnorm"))):
        raise ValueError(
            f"tower must be a CLIP or SigLIP vision model (such as transformers' CLIPVisionModel), got {name}"
        )
    if method and not has_cls(tower):
        refuse_without_cls(name, method)
    return Size(tower.embeddings.num_patches, len(tower.encoder.layers))  # type: ignore[union-attr]


def has_cls(tower: Any) -> bool:
    """Whether token 0 of the tower's hidden states is CLS, and patch i therefore token i + 1."""
    return hasattr(tower.embeddings, "class_embedding")


def embed(tower: Any, pixel_values: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch length dim"]:
    """Pixels to `hidden_states[0]`; CLIP has a norm there, SigLIP has none. Positions are not interpolated."""
    checks.pixels(pixel_values, tower.embeddings.image_size, tower.embeddings.patch_size)
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


def looks_at_cls(method: Method | type[Method]) -> bool:
    return any(field in OF_CLS for field in method.needs)
