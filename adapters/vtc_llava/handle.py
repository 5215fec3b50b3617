"""What `patch` returns: the patch itself, what it saw last, and the way back."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vtc_core.methods import Choice, spelled
from vtc_torch import Pruned, PrunedEncoder
from vtc_torch.loading import feature_layer, shuffle_of
from vtc_torch.progressive import ProgressiveWalk
from vtc_torch.walk import Walk

from . import mixing, places
from .family import Family
from .geometry import Layout, one_tile
from .packing import Candidates, Plan
from .places import Places, Visual
from .savings import Description, describe, html_table
from .settings import Settings


class Handle:
    """A patched (model, processor) pair, also found as `model.vtc`. Leaving its `with` block undoes the patch.

    It holds settings, and asks the model for its tower and projector at every call: they may be wrapped or replaced.

    Attributes:
        model, processor: the pair, patched in place.
        settings: `keep`, `total` and `method`.
        last: `Pruned` of the encoder's last call, before pooling and projector, detached; None before the first.
            One row per tile or frame, of all pictures or videos in the order in which they came (LLaVA-1.5: one row
            per picture; under beam search a row per beam). Rows are as long as the longest: where a tile keeps fewer
            patches, -1 stands in `indices`; CLS is -1, too. Blended tokens (pooled frames) count with all patches they
            are made of, mixtures of a merging method with their anchor alone: `weights` has the whole of them.
        stages_last: what stages left of the last prompts with pictures: for a layer, where the visual tokens of each
            row were in its prompt; -1 for a mixture without a place. {} before the first.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        family: Family,
        settings: Settings,
        walk: Walk | ProgressiveWalk,
        tokens: int,
        layouts: Mapping[str, Callable[..., Layout]],
    ) -> None:
        self.model = model
        self.processor = processor
        self.family = family
        self.settings = settings
        self.walk = walk
        self.tokens = tokens  # patch tokens of a tile
        self.layouts = layouts
        self.words: Any = None  # `words.Words`, of a method that reads the prompt
        self.last: Pruned | None = None
        self.stages_last: dict[int, list[Tensor]] = {}
        self.visual: Visual | None = None  # of the prompts that are about to enter the language model
        self._places: dict[str, Places] = {}
        self._layouts: dict[str, list[Layout]] = {}
        self._chosen: Choice | None = None
        self._packed: tuple[Plan, Sequence[Candidates]] | None = None
        self._patched: list[tuple[Any, str, list[Any]]] = []  # [] where there was nothing before

    @property
    def seen(self) -> dict[str, list[Layout]]:
        """For "image" and "video" the `Layout` of each picture or video of the last call with such.

        `last.indices.split([layout.tiles for layout in seen["image"]])` has the tiles of each picture.
        """
        if self.family.several or self.last is None:
            return self._layouts
        return {"image": [one_tile(side=math.isqrt(self.tokens))] * len(self.last.indices)}

    def tower(self, kind: str = "image") -> Any:
        """The vision tower of pictures or videos, as it is now."""
        return getattr(self.model.model, self.family.towers[kind])

    @property
    def encoder(self) -> PrunedEncoder:
        """A `vtc_torch.PrunedEncoder` with these settings around the tower of pictures, and the projector."""
        projector = self.model.model.multi_modal_projector
        config, method = self.model.config, self.settings.method
        return PrunedEncoder(self.tower(), self.keep or 1, method, feature_layer(config), projector, shuffle_of(config))

    @property
    def keep(self) -> int | None:
        """Visual tokens that a tile costs now at most; None where `total` is set."""
        return self.settings.keep

    def remember(
        self,
        kind: str,
        last: Pruned,
        choice: Choice | None = None,
        packed: tuple[Plan, Sequence[Candidates]] | None = None,
    ) -> None:
        """What the last call saw; of pictures of one tile a choice, of others how all competitions ended."""
        if packed and self.settings.stages:
            self._places[kind] = places.of_tiles(*packed)
        elif choice and self.settings.stages:
            self._places[kind] = places.of_pictures(choice, self.tokens)
        self.last = Pruned(*(x.detach() for x in last))
        self._chosen = choice and choice._replace(weights=None if choice.weights is None else choice.weights.detach())
        self._packed = packed and (
            packed[0],
            [candidates._replace(seen=candidates.seen.without_signals()) for candidates in packed[1]],
        )

    def note_placeholders(self, kind: str, mask: Bool[Tensor, "batch length"]) -> None:
        """Where the pictures or videos of the last call are in the prompts that are about to enter the language model.

        Stages are told by `get_placeholder_mask`, which every family calls just before.
        """
        if self.settings.stages:
            found = self._places.get(kind, torch.empty(0, 2, dtype=torch.long))
            self.visual = Visual.of(mask, found).joined(self.visual)

    def weights(self, number: int = 0) -> Float[Tensor, "length patches"]:
        """Of what each fed token of the last call's picture or video `number` is made, patches = tiles * tokens.

        A token that was kept has a single 1; one that was merged or blended its share of each patch; CLS and newlines
        none.
        """
        if self._packed is not None:
            return mixing.of_tiles(*self._packed, number)
        if self._chosen is None:
            raise ValueError("nothing was encoded yet")
        return mixing.of_row(self._chosen, number)

    def describe(self, width: int, height: int, frames: int | None = None) -> Description:
        """What the patch saves for a picture of width x height pixels, or for a video of so many frames; to print.

        See `vtc_llava.savings.describe` for the formulas.
        """
        layout = self.layouts["image"](height, width) if frames is None else self.layouts["video"](frames)
        return describe(self.model.config, self.model.dtype, layout, self.settings, self.walk.layers)

    def show(self, image: Any = None, *, video: Any = None, title: str | None = None, prompt: str | None = None) -> Any:
        """A matplotlib figure: a picture as encoded, its kept and merged patches, the scores that chose them.

        The vision tower is run as it is now, the language model is not; `last` and `weights` are of this picture then.

        Args:
            image: a picture, or where its file is; or `video` instead: frames, as the processor takes them.
            prompt: the words that come with it, for a method that reads them.
        """
        from .showing import shown_by_model  # matplotlib takes its time, and serving does without

        shown = shown_by_model(self, image, video, prompt)
        return shown.figure(title or f"{shown.fed} of {shown.tokens} visual tokens ({spelled(self.settings.method)})")

    def install(self, overrides: list[tuple[Any, str, Any]]) -> None:
        """Set every (instance, attribute, value), and remember what `undo` has to put back."""
        for instance, attribute, value in overrides:
            before = [vars(instance)[attribute]] if attribute in vars(instance) else []
            self._patched.append((instance, attribute, before))
            setattr(instance, attribute, value)

    def undo(self) -> None:
        """Give model and processor back as they were. A second call does nothing."""
        while self._patched:
            instance, attribute, before = self._patched.pop()
            if attribute in vars(instance):  # else somebody has taken it away by hand
                delattr(instance, attribute)
            for value in before:
                setattr(instance, attribute, value)

    def __enter__(self) -> "Handle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def _repr_html_(self) -> str:
        """For notebooks."""
        kept = {} if self.last is None else {"last call": f"{len(self.last.scores)} tiles or frames encoded"}
        state = {"state": "patched" if self._patched else "undone"}
        method = {"budget": str(self.settings.budget), "method": spelled(self.settings.method)}
        method |= {"stages": " ".join(map(spelled, self.settings.stages))} if self.settings.stages else {}
        return html_table(
            {"model": type(self.model).__name__, "tokens": f"{self.tokens} a tile", **method, **state, **kept}
        )

    def __repr__(self) -> str:
        stages = " ".join(map(spelled, self.settings.stages))
        state = f"{self.settings.budget} of {self.tokens}, method={spelled(self.settings.method)!r}"
        state += f", stages={stages!r}" if stages else ""
        return f"Handle({type(self.model).__name__}, {state if self._patched else 'undone'})"
