"""The settings of a patch, as a saved configuration holds them under its key `vtc`."""

from dataclasses import dataclass
from typing import Any

from vtc_core import arguments
from vtc_core.methods import Method, UniformGrid, either, method_of, saved
from vtc_core.stages import Stage
from vtc_torch.loading import tokens_of

from .budget import Budget


@dataclass(frozen=True)
class Settings:
    """How many tokens are fed, the method that chooses them, and the stages that drop more in the language model."""

    keep: int | None
    total: int | None
    method: Method
    stages: tuple[Stage, ...] = ()

    @property
    def budget(self) -> Budget:
        return Budget(self.keep, self.total)

    def saved(self) -> dict[str, Any]:
        """For a config.json."""
        numbers = {name: value for name, value in (("keep", self.keep), ("total", self.total)) if value is not None}
        stages = {"stages": [saved(stage) for stage in self.stages]} if self.stages else {}
        return {**numbers, "method": saved(self.method), **stages}


KEYS = ("keep", "total", "method", "stages", "layers", "reduce", "signal")  # the last three as vtc 0.1 saved them


def whole(config: Any) -> dict[str, Any]:
    """A budget and a method for stages alone: all tokens of a tile, and nothing that a tower could lack."""
    return {"keep": tokens_of(config), "method": UniformGrid()}


def restored(config: Any, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """`keep`, `total`, `method`, `stages`: what was given (is not None), else what `config.vtc` holds, else defaults.

    `keep` and `total` exclude each other: one that is given replaces the saved one, whichever that is. `layers` and
    `reduce` are of VTC-CLS; given, they change the saved method if it is that, and replace it otherwise. Stages alone
    leave all tokens to the language model.
    """
    held = getattr(config, "vtc", None) or {}
    if not isinstance(held, dict) or not set(held) <= set(KEYS):
        raise ValueError(f"the key vtc in the config of {name} must hold some of {sorted(KEYS)}, got {held!r}")
    given = {key: value for key, value in given.items() if value is not None}
    budgets = {key: value for source in (given, held) for key, value in source.items() if key in ("keep", "total")}
    if {"keep", "total"} & set(given):
        budgets = {key: value for key, value in given.items() if key in budgets}
    stages, method = given.get("stages", held.get("stages")), _held(held)
    if not budgets and stages:
        budgets, method = whole(config), method or whole(config)["method"]
    if not budgets:
        raise ValueError(
            f"keep or total is needed: {name} holds no settings of its own (a patched pair that was saved does, "
            "under the key vtc of its config)"
        )
    method = either(method, given.get("method"), given.get("layers"), given.get("reduce"))
    return {"keep": budgets.get("keep"), "total": budgets.get("total"), "method": method, "stages": stages}


def _held(held: dict[str, Any]) -> Method | None:
    """The saved method, in the words of this version or of 0.1."""
    if "method" in held:
        return method_of(held["method"])
    given = {key: held[key] for key in ("layers", "reduce") if key in held}
    arguments.one_of("signal", held.get("signal", "cls"), ("cls", "received"))
    if held.get("signal") == "received":
        return method_of({"name": "received", **given})
    return method_of({"name": "vtc-cls", **given}) if given else None
