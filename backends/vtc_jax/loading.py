"""CLIP towers and LLaVA projectors out of checkpoints: which tensors, and how they lie in Flax's modules."""

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from vtc_core import checkpoints

from .attention import AttentionFunction
from .checkpoint import Checkpoint
from .tower import CLIPTower, Projector, TowerConfig

Module = TypeVar("Module", bound=nnx.Module)

# Names end in these wherever a checkpoint keeps its tower: "", "vision_model.", "vision_tower.vision_model.", ...
_CLS, _PROJECTOR = "embeddings.class_embedding", "multi_modal_projector.linear_1.weight"
_UNUSED = r"post_layernorm\.(weight|bias)|embeddings\.position_ids"  # pooling, and a buffer of old checkpoints
_WEIGHTS = {"kernel": "weight", "scale": "weight", "embedding": "weight"}  # Flax's names for them
_KERNEL_AXES = {2: (1, 0), 4: (2, 3, 1, 0)}  # in Flax (in out) and (height width in out), here the outputs come first


def tower_config(checkpoint: Checkpoint) -> TowerConfig:
    """The configuration of a checkpoint's CLIP tower, or a ValueError if it has another one."""
    inner = checkpoint.config.get("vision_config")
    vision = checkpoint.config if inner is None else {"model_type": "clip_vision_model", **inner}
    key = "" if inner is None else "vision_config."
    kind = vision.get("model_type")
    if kind != "clip_vision_model":
        raise ValueError(
            f"{checkpoint.name} has a vision tower of type {kind!r}; only CLIP towers ('clip_vision_model') have the "
            "CLS token whose attention scores the others here: use one, or `vtc_jax.prune` with a "
            "(layers, batch, heads, tokens) signal of your own"
        )
    settings = {field.name: vision.get(field.name, field.default) for field in fields(TowerConfig)}
    checkpoints.tower(settings, key)
    return TowerConfig(**settings)


def feature_layer(checkpoint: Checkpoint) -> Any:
    """The hidden states that feed a LLaVA's projector, of which VipLLaVA has several; -2 for CLIP."""
    return checkpoint.config.get("vision_feature_layer", checkpoint.config.get("vision_feature_layers", -2))


def read_tower(
    checkpoint: Checkpoint, config: TowerConfig, useful: int, attention: AttentionFunction, dtype: DTypeLike | None
) -> CLIPTower:
    """The tower with its first `useful` layers, in its own dtype or in `dtype`."""
    checkpoints.tower_depth(config.num_hidden_layers, checkpoint.files, unused=config.num_hidden_layers - useful)
    prefixes = [name.removesuffix(_CLS) for name in checkpoint.files if re.search(rf"(^|\.){_CLS}$", name)]
    if len(prefixes) != 1:
        found = f"{len(prefixes)} of them" if prefixes else "none"
        raise ValueError(f"{checkpoint.name} must have one tensor whose name ends in {_CLS}, it has {found}")
    dtype = _dtype(checkpoint, prefixes[0] + _CLS) if dtype is None else dtype
    unused = (rf"encoder\.layers\.{number}\..*" for number in range(useful, config.num_hidden_layers))
    tower = nnx.eval_shape(lambda: CLIPTower(config, attention=attention, dtype=dtype, useful=useful, rngs=nnx.Rngs(0)))
    return _read(checkpoint, tower, prefixes[0], "|".join((_UNUSED, *unused)), dtype)


def read_projector(checkpoint: Checkpoint, dim: int, dtype: DTypeLike | None) -> Projector:
    """LLaVA's projector of features of size `dim`, in its own dtype or in `dtype`."""
    name = next((name for name in checkpoint.files if re.search(rf"(^|\.){_PROJECTOR}$", name)), None)
    if name is None:
        raise ValueError(f"{checkpoint.name} has no projector ({_PROJECTOR}); project=True needs a LLaVA checkpoint")
    language_dim = checkpoint.shapes([name])[name][0]  # not in every config: it may be a language model's default
    act = checkpoint.config.get("projector_hidden_act", "gelu")
    bias = checkpoint.config.get("multimodal_projector_bias", True)
    dtype = _dtype(checkpoint, name) if dtype is None else dtype
    projector = nnx.eval_shape(lambda: Projector(dim, language_dim, act, bias, dtype=dtype, rngs=nnx.Rngs(0)))
    return _read(checkpoint, projector, name.removesuffix("linear_1.weight"), "", dtype)


def _dtype(checkpoint: Checkpoint, name: str) -> jnp.dtype:
    """The dtype of a tensor, as JAX has it (float64 under x64 only)."""
    return jnp.asarray(next(checkpoint.tensors([name]))[1]).dtype


def _read(checkpoint: Checkpoint, module: Module, prefix: str, unused: str, dtype: DTypeLike) -> Module:
    """A module of shapes filled with the tensors under `prefix`; ValueError unless they are those that it has.

    `unused`: a pattern of those that may be there besides.
    """
    graph, state = nnx.split(module)
    parameters = {prefix + _name(path): (path, variable) for path, variable in nnx.to_flat_state(state)}
    held = {name for name in checkpoint.files if name.startswith(prefix)}
    unknown = {name for name in held - set(parameters) if not re.fullmatch(unused, name.removeprefix(prefix))}
    _refuse(checkpoint, "lacks tensors", set(parameters) - held)
    _refuse(checkpoint, "has tensors that are not known", unknown)
    wanted = {name: _shape(path, variable) for name, (path, variable) in parameters.items()}
    found = checkpoint.shapes(parameters)
    wrong = (f"{name} (wanted {wanted[name]}, found {found[name]})" for name in wanted if wanted[name] != found[name])
    _refuse(checkpoint, "has tensors of other shapes than its config.json says", wrong)
    filled = []
    for name, tensor in checkpoint.tensors(parameters):
        path, variable = parameters[name]
        filled.append((path, variable.replace(jnp.asarray(tensor.transpose(_axes(path, tensor.ndim)), dtype))))
    return nnx.merge(graph, nnx.from_flat_state(filled))


def _name(path: tuple[Any, ...]) -> str:
    """The name of a parameter of ours in the Hugging Face layout."""
    *modules, last = map(str, path)
    return ".".join((*(["encoder"] if modules[:1] == ["layers"] else []), *modules, _WEIGHTS.get(last, last)))


def _axes(path: tuple[Any, ...], ndim: int) -> tuple[int, ...]:
    """Which axes of a tensor make those of the parameter."""
    return _KERNEL_AXES[ndim] if path[-1] == "kernel" else tuple(range(ndim))


def _shape(path: tuple[Any, ...], variable: Any) -> tuple[int, ...]:
    """The shape that the tensor of a parameter must have."""
    shape = variable.shape
    return tuple(shape[axis] for axis in np.argsort(_axes(path, len(shape))))


def _refuse(checkpoint: Checkpoint, complaint: str, wrong: Iterable[str]) -> None:
    """A ValueError that names the first few, if there are any."""
    names = sorted(wrong)
    if names:
        more = ", ..." if len(names) > 4 else ""
        raise ValueError(f"{checkpoint.name} {complaint} ({len(names)} in all): {', '.join(names[:4])}{more}")
