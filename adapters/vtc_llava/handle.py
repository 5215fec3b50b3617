"""What `patch` returns: the patch itself, what it saw last, and the way back."""

from types import TracebackType
from typing import Any

from vtc_torch import Pruned, PrunedEncoder


class Handle:
    """A patched (model, processor) pair, also found as `model.vtc`. Leaving its `with` block undoes the patch.

    Attributes:
        model, processor: the pair, patched in place.
        encoder: the `vtc_torch.PrunedEncoder` around the model's own vision tower.
        last: `Pruned` of the last call, features before the projector, detached; None before the first.
            One row per picture, in the order in which the pictures came; under beam search a row per beam.
    """

    def __init__(self, model: Any, processor: Any, encoder: PrunedEncoder) -> None:
        self.model = model
        self.processor = processor
        self.encoder = encoder
        self.last: Pruned | None = None
        self._patched: list[tuple[Any, str]] = []

    @property
    def keep(self) -> int:
        """Visual tokens that a picture costs now."""
        return self.encoder.keep

    @property
    def tokens(self) -> int:
        """Visual tokens that a picture cost before."""
        return self.encoder.tokens

    def install(self, overrides: list[tuple[Any, str, Any]]) -> None:
        """Set every (instance, attribute, value), and remember what `undo` has to delete."""
        for instance, attribute, value in overrides:
            setattr(instance, attribute, value)
            self._patched.append((instance, attribute))

    def undo(self) -> None:
        """Give model and processor back as they were. A second call does nothing."""
        while self._patched:
            instance, attribute = self._patched.pop()
            delattr(instance, attribute)

    def __enter__(self) -> "Handle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        state = f"keep={self.keep} of {self.tokens}, layers={self.encoder.layers}, reduce={self.encoder.reduce!r}"
        return f"Handle({type(self.model).__name__}, {state if self._patched else 'undone'})"
