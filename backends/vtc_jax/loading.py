"""CLIP and InternVL towers, and projectors, out of checkpoints: which tensors, and how they lie in Flax's modules."""

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from vtc_core import checkpoints, shuffled

from .attention import AttentionFunction
from .checkpoint import Checkpoint
from .internvit import InternViT, InternViTConfig
from .projector import Projector
from .tower import CLIPTower, Tower, TowerConfig

Module = TypeVar("Module", bound=nnx.Module)

# Names end in these wherever a checkpoint keeps its tower: "", "vision_model.", "vision_tower.vision_model.", ...
_CLS, _PROJECTOR = r"embeddings\.(class_embedding|cls_token)", "multi_modal_projector.linear_1.weight"
# Pooling, a buffer of old checkpoints, what training masks with, and a last norm that feeds nobody.
_UNUSED = r"post_layernorm\.(weight|bias)|embeddings\.(position_ids|mask_token)|layernorm\.(weight|bias)"
_CONFIGS = {"clip_vision_model": TowerConfig, "internvl_vision": InternViTConfig}
_WEIGHTS = {"kernel": "weight", "scale": "weight", "embedding": "weight"}  # Flax's names for them
_KERNEL_AXES = {2: (1, 0), 4: (2, 3, 1, 0)}  # in Flax (in out) and (height width in out), here the outputs come first


def tower_config(checkpoint: Checkpoint) -> TowerConfig:
    """The configuration of a checkpoint's CLIP or InternVL tower, or a ValueError if it has another one."""
    inner = checkpoint.config.get("vision_config")
    vision = checkpoint.config if inner is None else {"model_type": "clip_vision_model", **inner}
    key = "" if inner is None else "vision_config."
    kind = vision.get("model_type")
    if kind not in _CONFIGS:
        raise ValueError(
            f"{checkpoint.name} has a vision tower of type {kind!r}; only CLIP and InternVL towers "
            f"({', '.join(map(repr, _CONFIGS))}) have the CLS token whose attention scores the others here: use one or "
            "`vtc_jax.prune` with a (layers, batch, heads, tokens) signal of your own"
        )
    settings = {field.name: vision.get(field.name, field.default) for field in fields(_CONFIGS[kind])}
    checkpoints.tower(settings, key)
    squares = {name: checkpoints.side(key + name, settings[name]) for name in ("image_size", "patch_size")}
    return _CONFIGS[kind](**settings | squares)


def shuffle(checkpoint: Checkpoint) -> int:
    """Patches on the side of what a projector is given as one token; 1 but for InternVL."""
    return shuffled.factor_of(checkpoint.config.get("downsample_ratio"))


def feature_layer(checkpoint: Checkpoint) -> Any:
    """The hidden states that feed a LLaVA's projector, of which VipLLaVA has several; -2 for CLIP."""
    return checkpoint.config.get("vision_feature_layer", checkpoint.config.get("vision_feature_layers", -2))


def read_tower(
    checkpoint: Checkpoint, config: TowerConfig, useful: int, attention: AttentionFunction, dtype: DTypeLike | None
) -> Tower:
    """The tower with its first `useful` layers, in its own dtype or in `dtype`."""
    checkpoints.tower_depth(config.num_hidden_layers, checkpoint.files, unused=config.num_hidden_layers - useful)
    names = [name for name in checkpoint.files if re.search(rf"(^|\.){_CLS}$", name)]
    if len(names) != 1:
        found = f"{len(names)} of them" if names else "none"
        word = "embeddings.cls_token" if isinstance(config, InternViTConfig) else "embeddings.class_embedding"
        raise ValueError(f"{checkpoint.name} must have one tensor whose name ends in {word}, it has {found}")
    dtype = _dtype(checkpoint, names[0]) if dtype is None else dtype
    unused = (rf"encoder\.layers?\.{number}\..*" for number in range(useful, config.num_hidden_layers))
    kind: Any = InternViT if isinstance(config, InternViTConfig) else CLIPTower
    tower = nnx.eval_shape(lambda: kind(config, attention=attention, dtype=dtype, useful=useful, rngs=nnx.Rngs(0)))
    return _read(checkpoint, tower, re.sub(rf"{_CLS}$", "", names[0]), "|".join((_UNUSED, *unused)), dtype)


def read_projector(checkpoint: Checkpoint, dim: int, dtype: DTypeLike | None) -> Projector:
    """The projector of features of size `dim`, in its own dtype or in `dtype`."""
    name = next((name for name in checkpoint.files if re.search(rf"(^|\.){_PROJECTOR}$", name)), None)
    if name is None:
        raise ValueError(f"{checkpoint.name} has no projector ({_PROJECTOR}); project=True needs a LLaVA checkpoint")
    language_dim = checkpoint.shapes([name])[name][0]  # not in every config: it may be a language model's default
    act = checkpoint.config.get("projector_hidden_act", "gelu")
    bias = checkpoint.config.get("multimodal_projector_bias", True)
    dtype = _dtype(checkpoint, name) if dtype is None else dtype
    prefix = name.removesuffix("linear_1.weight")
    norm = f"{prefix}layer_norm.weight" in checkpoint.files
    projector = nnx.eval_shape(lambda: Projector(dim, language_dim, act, bias, norm, dtype=dtype, rngs=nnx.Rngs(0)))
    return _read(checkpoint, projector, prefix, "", dtype)


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
    return ".".join((*(["encoder"] if modules[0] in ("layers", "layer") else []), *modules, _WEIGHTS.get(last, last)))


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
