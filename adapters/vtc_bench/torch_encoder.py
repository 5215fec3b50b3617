"""The ways to run a CLIP encoder in PyTorch, on random weights: pruned, whole, and VTC-CLS the usual way."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from vtc_core.methods import Method, VtcCls
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
    model: Any = CLIPVisionModel._from_config(clip_config(g), attn_implementation=attention, dtype=torch.float32)
    assert model.config._attn_implementation == attention
    return model.eval().to(device, dtype)


def pixels(g: Geometry, batch: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, 3, g.image_size, g.image_size, generator=generator).to(device, dtype)


def whole(tower: Any, pixel_values: Tensor) -> Tensor:
    """As stock LLaVA runs its tower: all layers, and of their hidden states that of the feature layer is kept.

    (transformers before 5.23 takes the number for True, and keeps them all.)
    """
    return tower(pixel_values, output_hidden_states=-2).hidden_states[-2][:, 1:]


def pruned(tower: Any, keep: int, method: Method, projector: nn.Module | None = None) -> PrunedEncoder:
    """Where a method sees projected tokens and there is no projector, it sees the features in their place."""
    if projector is None and "projected" in method.needs:
        projector = nn.Identity()
    return PrunedEncoder(tower, keep, method, projector=projector)


def usual_way(eager: Any, pixel_values: Tensor, keep: int, layers: tuple[int, ...], reduce: str) -> Pruned:
    """Eager attention with every layer's map kept, then the verbs: what the published code computes, by its formula."""
    out = eager(pixel_values, output_attentions=True, output_hidden_states=-2)
    cls_attention = torch.stack([out.attentions[n][:, :, 0, 1:] for n in layers])
    return prune(out.hidden_states[-2][:, 1:], cls_attention, keep, reduce)


def names(method: Method) -> tuple[str, ...]:
    """The usual way is one to VTC-CLS."""
    return NAMES if isinstance(method, VtcCls) else (PRUNED, WHOLE)


def runs(
    g: Geometry,
    pixel_values: Tensor,
    keep: int,
    method: Method,
    only: tuple[str, ...] | None = None,
    projector: nn.Module | None = None,
) -> dict[str, Callable[[], Any]]:
    """Name to run, on the device and in the dtype of `pixel_values`; of `names(method)` only those of `only` are built.

    With a `projector` pruned and whole return projected tokens.
    """
    only = names(method) if only is None else only
    where: dict[str, Any] = {"device": str(pixel_values.device), "dtype": pixel_values.dtype}
    named: dict[str, Callable[[], Any]] = {}
    sdpa: Any = tower(g, **where) if {PRUNED, WHOLE} & set(only) else None
    if PRUNED in only:
        named[PRUNED] = partial(pruned(sdpa, keep, method, projector), pixel_values)
    if WHOLE in only:
        features = partial(whole, sdpa, pixel_values)
        named[WHOLE] = (lambda: projector(features())) if projector else features
    if USUAL in only and isinstance(method, VtcCls):
        eager = tower(g, "eager", **where)
        numbers = pruned(eager, keep, method).layers
        named[USUAL] = partial(usual_way, eager, pixel_values, keep, numbers, method.reduce)
    return {name: without_gradients(run) for name, run in named.items()}


def float32_runs(g: Geometry, batch: int, keep: int, method: Method) -> dict[str, Callable[[], Any]]:
    return runs(g, pixels(g, batch), keep, method)


def without_gradients(run: Callable[[], Any]) -> Callable[[], Any]:
    """The run as `generate` runs it."""

    def quiet() -> Any:
        with torch.no_grad():
            return run()

    return quiet
