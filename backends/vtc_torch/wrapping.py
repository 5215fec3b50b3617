"""Modules that others have wrapped: accelerate's hooks, which load and move weights, and FSDP2, which gathers them.

Both act when a module is called. The walk calls layers, but neither the tower nor its encoder, and of the last useful
layer the parts: what a call of those would set going is set going here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


def in_one_piece(tower: Any, layer: Any) -> bool:
    """Whether `layer` has to be called whole: it is sharded or moved, or its weights come and go with the tower's."""
    return _is_wrapped(layer) or _comes_and_goes(tower) or _comes_and_goes(tower.encoder)


def as_called(modules: Sequence[nn.Module], function: Callable[..., Any], *inputs: Any) -> Any:
    """`function(*inputs)` as it would run in a call of the modules, the first the outermost."""
    if not modules:
        return function(*inputs)
    outer: Any = modules[0]

    def run(*inputs: Any) -> Any:
        return as_called(modules[1:], function, *inputs)

    if hasattr(outer, "unshard"):
        return _sharded(outer, run, inputs)
    if not _is_wrapped(outer):
        return run(*inputs)
    inputs, _ = outer._hf_hook.pre_forward(outer, *inputs)
    return outer._hf_hook.post_forward(outer, run(*inputs))


def device_of(module: nn.Module) -> torch.device:
    """Where a module computes; parameters that are offloaded are nowhere ("meta"), and its hooks know."""
    own = next(module.parameters()).device
    if own.type != "meta":
        return own
    hooks: Any = [part._hf_hook for part in module.modules() if hasattr(part, "_hf_hook")]
    devices = [hook.execution_device for hook in hooks if getattr(hook, "execution_device", None) is not None]
    return torch.device(devices[0]) if devices else own


def _comes_and_goes(module: Any) -> bool:
    return hasattr(module, "_hf_hook") and getattr(module._hf_hook, "offload", True)


def _is_wrapped(module: Any) -> bool:
    return hasattr(module, "_hf_hook") or hasattr(module, "unshard")


def _sharded(module: Any, run: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """FSDP2's own way to have other methods than `forward` gather the weights, and backward as well."""
    from torch.distributed.fsdp import register_fsdp_forward_method

    name = "_vtc_forward"
    setattr(module, name, run)
    register_fsdp_forward_method(module, name)
    try:
        return getattr(module, name)(*inputs)
    finally:
        delattr(module, name)
