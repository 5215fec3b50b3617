"""The settings of a patch, as a saved configuration holds them under its key `vtc`."""

from dataclasses import dataclass
from typing import Any

from vtc_core import arguments
from vtc_core.methods import Method, either, method_of, saved

from .budget import Budget


@dataclass(frozen=True)
class Settings:
    """How many tokens are fed, and the method that chooses them."""

    keep: int | None
    total: int | None
    method: Method

    @property
    def budget(self) -> Budget:
        return Budget(self.keep, self.total)

    def saved(self) -> dict[str, Any]:
        """For a config.json."""
        numbers = {name: value for name, value in (("keep", self.keep), ("total", self.total)) if value is not None}
        return {**numbers, "method": saved(self.method)}


KEYS = ("keep", "total", "method", "layers", "reduce", "signal")  # the last three as vtc 0.1 saved them


def restored(config: Any, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """`keep`, `total` and `method`: what was given (is not None), else what `config.vtc` holds, else the default.

    `keep` and `total` exclude each other: one that is given replaces the saved one, whichever that is. `layers` and
    `reduce` are of VTC-CLS; given, they change the saved method if it is that, and replace it otherwise.
    """
    held = getattr(config, "vtc", None) or {}
    if not isinstance(held, dict) or not set(held) <= set(KEYS):
        raise ValueError(f"the key vtc in the config of {name} must hold some of {sorted(KEYS)}, got {held!r}")
    given = {key: value for key, value in given.items() if value is not None}
    budgets = {key: value for source in (given, held) for key, value in source.items() if key in ("keep", "total")}
    if {"keep", "total"} & set(given):
        budgets = {key: value for key, value in given.items() if key in budgets}
    if not budgets:
        raise ValueError(
            f"keep or total is needed: {name} holds no settings of its own (a patched pair that was saved does, "
            "under the key vtc of its config)"
        )
    method = either(_held(held), given.get("method"), given.get("layers"), given.get("reduce"))
    return {"keep": budgets.get("keep"), "total": budgets.get("total"), "method": method}


def _held(held: dict[str, Any]) -> Method | None:
    """The saved method, in the words of this version or of 0.1."""
    if "method" in held:
        return method_of(held["method"])
    given = {key: held[key] for key in ("layers", "reduce") if key in held}
    arguments.one_of("signal", held.get("signal", "cls"), ("cls", "received"))
    if held.get("signal") == "received":
        return method_of({"name": "received", **given})
    return method_of({"name": "vtc-cls", **given}) if given else None
