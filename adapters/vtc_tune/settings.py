"""Which settings are measured, and what a folder of results is held to."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vtc_core.methods import Method, method_of, saved
from vtc_llava import Settings, patch
from vtc_llava.families import checked, family_of
from vtc_torch.loading import tokens_of

PREFERRED = ("vtc-cls", "visionzip", "vispruner", "divprune", "centerclip", "catp", "received", "todre")
METHODS = 5  # of the preferred, the first that fit the tower: some need CLS
DIVISORS = (2, 4, 6, 9, 18)  # keep 1/2, 1/4, ... of a tile's tokens
PROBES = 64  # numbers of each tensor that a model is known again by


def settings_of(
    config: Any,
    methods: Sequence[Method | str | Mapping[str, Any]] | None,
    keeps: Sequence[int] | None,
    totals: Sequence[int] | None,
) -> list[Settings]:
    """Every method with every budget, most tokens first; `tune` has the defaults.

    Raises:
        ValueError, TypeError: a method or budget that this model cannot have, or none at all.
    """
    family, tokens = family_of(config, "model"), tokens_of(config)
    if keeps is None and totals is None:
        keeps = [max(1, tokens // divisor) for divisor in DIVISORS]
    chosen = default_methods(config) if methods is None else [method_of(method) for method in methods]
    budgets = [(keep, None) for keep in sorted(set(keeps or ()), reverse=True)]
    budgets += [(None, total) for total in sorted(set(totals or ()), reverse=True)]
    if not chosen or not budgets:
        raise ValueError("at least one method and one budget are needed")
    return [checked(family, config, *budget, method) for method in dict.fromkeys(chosen) for budget in budgets]


def default_methods(config: Any) -> list[Method]:
    """The first of the preferred that the tower can have."""
    family, fit = family_of(config, "model"), []
    for method in map(method_of, PREFERRED):
        try:
            checked(family, config, 1, None, method)
        except ValueError:  # it looks at CLS, and there is none
            continue
        fit.append(method)
    return fit[:METHODS]


def walk_of(model: Any, processor: Any, setting: Settings) -> Any:
    """How a patched pair walks its tower; or the refusal of a pair that cannot be patched so."""
    with patch(model, processor, setting.keep, total=setting.total, method=setting.method) as handle:
        return handle.walk


def held(model: Any, settings: Sequence[Settings], **others: Any) -> dict[str, Any]:
    """What decides the rows of a run, as JSON: other values are other results."""
    listed = [{"keep": s.keep, "total": s.total, "method": saved(s.method)} for s in settings]
    return {"model": fingerprint(model), "dtype": str(model.dtype), "settings": listed, **others}


def fingerprint(model: Any) -> str:
    """Of a model's configuration and of some numbers of every tensor: 32 hexadecimal digits."""
    digest = hashlib.blake2b(json.dumps(model.config.to_dict(), sort_keys=True, default=str).encode(), digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        if tensor.device.type != "meta":  # offloaded
            few = tensor.flatten()[:: max(1, tensor.numel() // PROBES)]
            digest.update(few.contiguous().cpu().view(torch.uint8).numpy())
    return digest.hexdigest()
