"""What a family of models has to tell: the rest is common to all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vtc_core.methods import Method
from vtc_torch import loading, towers

from .geometry import Layout
from .placeholders import Placeholders


def nothing_more(config: Any) -> None:
    """No refusals but those that all families have."""


@dataclass(frozen=True)
class Family:
    """One `config.model_type`. The layouts say how tokens are packed and counted; docs/add-a-family.md
    is how to add one.

    Attributes:
        model: the class of the whole model.
        towers: for "image", and "video" if the family has it, the name of the tower in `model.model`.
        layouts: of a configuration and an image processor, for the same kinds: (height, width, alone) -> Layout of a
            picture, frames -> Layout of a video. They must not hold on to the two: the processor keeps them.
        several: whether a picture can have several tiles, or there are videos; without, `total` means nothing.
        stacked: whether the stock `get_image_features` returns one tensor, not a list with one for each picture.
        blend_projected: whether tokens are pooled after the projector, not before.
        forward_ends_videos: whether the stock `forward`, not `get_video_features`, adds the newline that ends a video.
        check: more refusals, of a configuration.
        features, placeholders: the model's and the processor's side where they are not `Features` and `Placeholders`.
        cutting: settings that the whole processor hands to its image processor, which alone would cut no tiles.
    """

    model: type
    towers: Mapping[str, str]
    layouts: Callable[..., Mapping[str, Callable[..., Layout]]]
    several: bool = True
    stacked: bool = False
    blend_projected: bool = False
    forward_ends_videos: bool = False
    check: Callable[[Any], None] = nothing_more
    features: Callable[..., Any] | None = None
    placeholders: type[Placeholders] = Placeholders
    cutting: Mapping[str, Any] = field(default_factory=dict)


def check_config(family: Family, config: Any, method: Method) -> None:
    """A ValueError for what is not supported."""
    loading.tower_config(config, family.model.__name__, method)
    strategy = getattr(config, "vision_feature_select_strategy", "default")  # VipLLaVA has none, and drops CLS
    has_cls = config.vision_config.model_type != towers.SIGLIP
    if has_cls and strategy != "default":
        raise ValueError(
            f"vision_feature_select_strategy must be 'default', got {strategy!r}: "
            "it feeds CLS to the language model, and only patch tokens can be pruned"
        )
    if not has_cls and strategy != "full":
        raise ValueError(
            f"vision_feature_select_strategy must be 'full' for a tower without CLS, got {strategy!r}: "
            "it drops the first token, which is a patch here"
        )
    family.check(config)


def check_processor(family: Family, config: Any, processor: Any) -> None:
    """Refuse what does not write the placeholders (a bare tokenizer or image processor), or would cut other tiles."""
    needed = [name for kind in family.towers for name in (f"replace_{kind}_token", f"{kind}_token")]
    if not all(hasattr(processor, name) for name in needed):
        raise TypeError(f"processor must be the model's own, with {', '.join(needed)}, got {type(processor).__name__}")
    ours, theirs = (getattr(x, "image_grid_pinpoints", None) for x in (processor.image_processor, config))
    if theirs is not None and [*map(tuple, ours or ())] != [*map(tuple, theirs)]:
        raise ValueError(f"processor and model disagree on image_grid_pinpoints: {ours} and {theirs}")
