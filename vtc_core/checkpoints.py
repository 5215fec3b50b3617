"""Refusals of what a checkpoint says of itself: its numbers, against one another and against the tensors there are.

Nothing is read here. A message names the key of config.json, its value, and what does not fit it.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from . import arguments

# Tensors of CLIP's and SigLIP's towers, and of InternViT, which has others of none of these names.
_PATCHES = ("embeddings.patch_embedding.weight", "embeddings.patch_embeddings.projection.weight")
_POSITIONS = ("embeddings.position_embedding.weight", "embeddings.position_embeddings")
_CLS = ("embeddings.class_embedding", "embeddings.cls_token")
# What a tower's tensors say of its configuration, axis by axis.
_AXES = {
    **dict.fromkeys(_PATCHES, ("hidden_size", "num_channels", "patch_size", "patch_size")),
    **dict.fromkeys(
        ("encoder.layers.0.mlp.fc1.weight", "encoder.layer.0.mlp.fc1.weight"), ("intermediate_size", "hidden_size")
    ),
}
_TOWER = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_channels", "image_size",
    "patch_size",
)  # fmt: skip
_DEEPEST = 10_000  # layers: some configurations make a list of them before anybody looks at the weights
_LANGUAGE = ("num_key_value_heads", "head_dim", "vocab_size")  # and, where they are numbers for all layers, those above


def tower(settings: Mapping[str, Any], key: str = "") -> None:
    """The numbers of a CLIP, SigLIP or InternVL tower; `key` ("vision_config.") is where config.json has them."""
    settings = _square(settings, key)
    sizes(settings, key)
    for name in _TOWER:
        _count(key + name, settings[name])
    _multiple(settings, key, "hidden_size", "num_attention_heads")
    if settings["patch_size"] > settings["image_size"]:
        raise ValueError(
            f"{key}image_size must be at least {key}patch_size, {settings['patch_size']}, got {settings['image_size']}"
        )


def sizes(settings: Mapping[str, Any], key: str = "") -> None:
    """Those that are there, of a tower or a language model, before anybody divides by them."""
    for name in (*_TOWER, *_LANGUAGE):
        if arguments.is_integer(settings.get(name)):
            _count(key + name, settings[name])
    depth: Any = settings.get("num_hidden_layers")
    if arguments.is_integer(depth) and depth > _DEEPEST:
        raise ValueError(f"{key}num_hidden_layers must be an integer in [1, {_DEEPEST}], got {depth}")


def side(name: str, size: Any) -> Any:
    """Of a square, which InternVL's configurations give as [height, width]; anything else comes back as it is."""
    if not isinstance(size, list | tuple):
        return size
    if len(size) != 2 or size[0] != size[1]:
        raise ValueError(f"{name} must be a height and a width that are equal, got {list(size)}")
    return size[0]


def _square(settings: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {**settings, **{name: side(key + name, settings[name]) for name in ("image_size", "patch_size")}}


def token(name: str, number: Any, vocab_size: int) -> None:
    """The id of a token that the language model has an embedding for."""
    if not arguments.is_integer(number) or not 0 <= number < vocab_size:
        raise ValueError(
            f"{name} must be an id in [0, {vocab_size - 1}] (text_config.vocab_size is {vocab_size}), got {number!r}"
        )


def tower_prefix(names: Iterable[str]) -> str:
    """What stands before the names of a tower's tensors: "vision_tower.vision_model.", or "" as in CLIP's own."""
    ends = re.compile(rf"(^|\.)({'|'.join(map(re.escape, _PATCHES))})$")
    return next((name[: found.start(2)] for name in names if (found := ends.search(name))), "")


def tower_depth(layers: int, names: Iterable[str], key: str = "", unused: int = 0) -> None:
    """No more layers than there are tensors for, the last `unused` aside; `names` of all tensors."""
    names = list(names)
    _depth(layers, names, re.escape(tower_prefix(names)) + r"encoder\.layers?\.(\d+)\.", key, unused)


def tower_tensors(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], key: str = "") -> None:
    """The tensors of a tower against its numbers; `shapes` of all tensors that are stored as they are, by name."""
    settings = _square(settings, key)
    prefix = tower_prefix(shapes)
    for name, axes in _AXES.items():
        for axis, held in zip(axes, shapes.get(prefix + name, ()), strict=False):
            if settings[axis] != held:
                raise ValueError(f"{key}{axis} is {settings[axis]}, and the weights have {held} ({prefix + name})")
    tokens = (settings["image_size"] // settings["patch_size"]) ** 2
    for name in _POSITIONS:
        positions = shapes.get(prefix + name, (0, 0))[-2] - any(prefix + cls in shapes for cls in _CLS)
        if positions > 0 and tokens != positions:
            raise ValueError(
                f"{key}image_size is {settings['image_size']}, {tokens} patches of {settings['patch_size']} pixels' "
                f"side, and the weights have {positions} positions ({prefix + name})"
            )


def language_depth(layers: int, names: Iterable[str], key: str = "") -> None:
    """As `tower_depth`, of the language model of a LLaVA."""
    _depth(layers, names, r"(?:.*\.)?language_model\.\D*\.(\d+)\.", key)


def inside(file: Any) -> str:
    """A file as an index of weights names it: in the checkpoint's folder, nowhere else."""
    path = PurePath(file) if isinstance(file, str) and file else None
    if path is None or path.is_absolute() or ".." in path.parts or "\\" in file:
        raise ValueError(f"an index of weights must name files of the checkpoint's own folder, got {file!r}")
    return file


def _depth(layers: int, names: Iterable[str], pattern: str, key: str, unused: int = 0) -> None:
    held = len({found[1] for name in names if (found := re.match(pattern, name))})
    if layers - unused > held > 0:
        raise ValueError(f"{key}num_hidden_layers is {layers}, and the weights have {held} layers")


def _count(name: str, value: Any) -> None:
    if not arguments.is_integer(value) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def _multiple(settings: Mapping[str, Any], key: str, whole: str, part: str) -> None:
    if settings[whole] % settings[part]:
        raise ValueError(f"{key}{whole} must be a multiple of {key}{part}, {settings[part]}, got {settings[whole]}")
