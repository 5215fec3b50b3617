"""The settings of a patch, as a saved configuration holds them under its key `vtc`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, SupportsIndex

from .budget import Budget


@dataclass(frozen=True)
class Settings:
    """The arguments of `patch`, in plain numbers and words."""

    keep: int | None
    total: int | None
    layers: int | tuple[int, ...]
    reduce: str
    signal: str

    @property
    def budget(self) -> Budget:
        return Budget(self.keep, self.total)

    def saved(self) -> dict[str, Any]:
        """For a config.json."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def plain(layers: SupportsIndex | Sequence[SupportsIndex]) -> int | tuple[int, ...]:
    """Checked `layers` as Python's own integers."""
    return tuple(map(int, layers)) if isinstance(layers, Sequence) else int(layers)


def restored(config: Any, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `patch`: what was given (is not None), else what `config.vtc` holds, else nothing.

    `keep` and `total` exclude each other: one that is given replaces the saved one, whichever that is.
    """
    saved = getattr(config, "vtc", None) or {}
    known = {field.name for field in fields(Settings)}
    if not isinstance(saved, dict) or not set(saved) <= known:
        raise ValueError(f"the key vtc in the config of {name} must hold some of {sorted(known)}, got {saved!r}")
    given = {key: value for key, value in given.items() if value is not None}
    if {"keep", "total"} & set(given):
        saved = {key: value for key, value in saved.items() if key not in ("keep", "total")}
    elif not {"keep", "total"} & set(saved):
        raise ValueError(
            f"keep or total is needed: {name} holds no settings of its own (a patched pair that was saved does, "
            "under the key vtc of its config)"
        )
    return {**saved, **given}
