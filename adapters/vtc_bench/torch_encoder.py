"""The ways to run a CLIP encoder in PyTorch, on random weights: pruned, whole, and pruned the usual way."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

from vtc_torch import Pruned, PrunedEncoder, prune

from .costs import Geometry

PACKAGES = ("torch", "transformers")
NAMES = PRUNED, WHOLE, USUAL = "pruned", "unpruned, sdpa", "the usual way"


def clip_config(g: Geometry) -> CLIPVisionConfig:
    """A new one each time: a model writes its attention implementation into the one it is given."""
    return CLIPVisionConfig(
        hidden_size=g.dim,
        intermediate_size=g.mlp,
        num_hidden_layers=g.depth,
        num_attention_heads=g.heads,
        image_size=g.image_size,
        patch_size=g.patch,
    )


def tower(g: Geometry, attention: str = "sdpa", device: str = "cpu", dtype: torch.dtype = torch.float32) -> Any:
    """A `CLIPVisionModel` in eval mode; the same random weights at every call."""
    torch.manual_seed(0)
    made: Any = CLIPVisionModel._from_config(clip_config(g), attn_implementation=attention, dtype=torch.float32)
    assert made.config._attn_implementation == attention
    return made.eval().to(device, dtype)


def pixels(g: Geometry, batch: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, 3, g.image_size, g.image_size, generator=generator).to(device, dtype)


def whole(tower: Any, pixel_values: Tensor) -> Tensor:
    """As stock LLaVA runs its tower: all layers, and of their hidden states that of the feature layer is kept.

    (transformers before 5.23 takes the number for True, and keeps them all.)
    """
    return tower(pixel_values, output_hidden_states=-2).hidden_states[-2][:, 1:]


def usual_way(eager: Any, pixel_values: Tensor, keep: int, layers: tuple[int, ...]) -> Pruned:
    """Eager attention with every layer's map kept, then the verbs: what the published code computes, by its formula."""
    out = eager(pixel_values, output_attentions=True, output_hidden_states=-2)
    cls_attention = torch.stack([out.attentions[n][:, :, 0, 1:] for n in layers])
    return prune(out.hidden_states[-2][:, 1:], cls_attention, keep)


def runs(
    g: Geometry, pixel_values: Tensor, keep: int, layers: int, only: tuple[str, ...] = NAMES
) -> dict[str, Callable[[], Any]]:
    """Name to run, on the device and in the dtype of `pixel_values`; only those of `only` are built."""
    where: dict[str, Any] = {"device": str(pixel_values.device), "dtype": pixel_values.dtype}
    made: dict[str, Callable[[], Any]] = {}
    sdpa: Any = tower(g, **where) if {PRUNED, WHOLE} & set(only) else None
    if PRUNED in only:
        made[PRUNED] = partial(PrunedEncoder(sdpa, keep, layers), pixel_values)
    if WHOLE in only:
        made[WHOLE] = partial(whole, sdpa, pixel_values)
    if USUAL in only:
        eager = tower(g, "eager", **where)
        numbers = PrunedEncoder(eager, keep, layers).layers
        made[USUAL] = partial(usual_way, eager, pixel_values, keep, numbers)
    return {name: without_gradients(run) for name, run in made.items()}


def float32_runs(g: Geometry, batch: int, keep: int, layers: int) -> dict[str, Callable[[], Any]]:
    return runs(g, pixels(g, batch), keep, layers)


def without_gradients(run: Callable[[], Any]) -> Callable[[], Any]:
    """The run as `generate` runs it."""

    def quiet() -> Any:
        with torch.no_grad():
            return run()

    return quiet
