"""What `patch` returns: the patch itself, what it saw last, and the way back."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from vtc_torch import Pruned, PrunedEncoder

from .family import Family
from .geometry import Layout
from .savings import Description, describe
from .settings import Settings


class Handle:
    """A patched (model, processor) pair, also found as `model.vtc`. Leaving its `with` block undoes the patch.

    Attributes:
        model, processor: the pair, patched in place.
        settings: `keep`, `total`, `layers`, `reduce`, `signal`, as they were given.
        encoders: for "image" and "video" the `vtc_torch.PrunedEncoder` around the model's own tower; mostly the same.
        last: `Pruned` of the encoder's last call, before pooling and projector, detached; None before the first.
            One row per tile or frame, of all pictures or videos in the order in which they came (LLaVA-1.5: one row
            per picture; under beam search a row per beam). Rows are as long as the longest: where a tile keeps fewer
            patches, -1 stands in `indices`. Blended tokens (pooled frames) count with all patches they are made of.
        seen: for "image" and "video" the `Layout` of each picture or video of the last call with such;
            `last.indices.split([layout.tiles for layout in seen["image"]])` has the tiles of each picture.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        family: Family,
        settings: Settings,
        encoders: Mapping[str, PrunedEncoder],
        layouts: Mapping[str, Callable[..., Layout]],
    ) -> None:
        self.model = model
        self.processor = processor
        self.family = family
        self.settings = settings
        self.encoders = encoders
        self.layouts = layouts
        self.last: Pruned | None = None
        self.seen: dict[str, list[Layout]] = {}
        self._patched: list[tuple[Any, str, list[Any]]] = []  # [] where there was nothing before

    @property
    def encoder(self) -> PrunedEncoder:
        """The encoder of pictures."""
        return self.encoders["image"]

    @property
    def keep(self) -> int | None:
        """Visual tokens that a tile costs now at most; None where `total` is set."""
        return self.settings.keep

    @property
    def tokens(self) -> int:
        """Patch tokens of a tile."""
        return self.encoder.tokens

    def describe(self, width: int, height: int, frames: int | None = None) -> Description:
        """What the patch saves for a picture of width x height pixels, or for a video of so many frames; to print.

        See `vtc_llava.savings.describe` for the formulas.
        """
        layout = self.layouts["image"](height, width) if frames is None else self.layouts["video"](frames)
        encoder = self.encoders["image" if frames is None else "video"]
        return describe(self.model.config, self.model.dtype, layout, self.settings.budget, encoder)

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
            delattr(instance, attribute)
            for value in before:
                setattr(instance, attribute, value)

    def __enter__(self) -> "Handle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        encoder, signal = self.encoder, f", signal={self.settings.signal!r}" if self.settings.signal != "cls" else ""
        state = f"{self.settings.budget} of {self.tokens}, layers={encoder.layers}, reduce={encoder.reduce!r}{signal}"
        return f"Handle({type(self.model).__name__}, {state if self._patched else 'undone'})"
