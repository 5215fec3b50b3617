"""What a backend is: a module with the verbs, `from_numpy` and `to_numpy`. All else is optional (see the README)."""

import importlib
import importlib.metadata
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from . import inputs

ARRAY_VERBS = ("attend", "score", "select", "gather", "prune")
DTYPES = ("float16", "bfloat16", "float32", "float64")
EAGER = "eager"  # the variant that is the module itself


class BrokenBackend(Exception):
    """A module that is no backend; its text says why."""


@dataclass(frozen=True)
class Backend:
    name: str
    module: ModuleType
    dtypes: tuple[str, ...]
    variants: tuple[str, ...]
    devices: tuple[str, ...]  # empty when the backend knows only one place for its arrays

    def dtypes_of(self, variant: str) -> tuple[str, ...]:
        """A variant may name fewer dtypes of its own."""
        return tuple(getattr(self.namespace(variant), "dtypes", self.dtypes))

    @property
    def encoder_dtypes(self) -> tuple[str, ...]:
        """Its encoder may have fewer than its verbs."""
        return tuple(getattr(self.module, "encoder_dtypes", self.dtypes))

    def namespace(self, variant: str) -> Any:
        return self.module if variant == EAGER else self.module.variants[variant]


def load(name: str) -> Backend:
    """Import a backend and look whether it can be one."""
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise BrokenBackend(f"cannot import {name}: {type(error).__name__}: {error}") from error
    _require(name, module, (*ARRAY_VERBS, "resolve_layers", "from_numpy", "to_numpy"))
    variants = getattr(module, "variants", {})
    for variant, namespace in variants.items():
        _require(f"{name}.variants[{variant!r}]", namespace, ARRAY_VERBS)
    dtypes = tuple(getattr(module, "dtypes", ("float32", "float64")))
    if not dtypes or not set(dtypes) <= set(DTYPES):
        raise BrokenBackend(f"{name}.dtypes must be some of {', '.join(DTYPES)}, got {dtypes}")
    devices = tuple(module.devices()) if hasattr(module, "devices") else ()
    backend = Backend(name, module, dtypes, (EAGER, *variants), devices)
    try:
        sample(backend)
    except Exception as error:
        raise BrokenBackend(f"{name}.from_numpy(array) fails: {type(error).__name__}: {error}") from error
    return backend


def sample(backend: Backend) -> Any:
    """One of its arrays."""
    return backend.module.from_numpy(inputs.zeros((1, 1), backend.dtypes[0]))


def _require(name: str, namespace: Any, wanted: tuple[str, ...]) -> None:
    absent = [verb for verb in wanted if not callable(getattr(namespace, verb, None))]
    if absent:
        raise BrokenBackend(f"{name} is no backend: it has no {', '.join(absent)}")


def describe(backend: Backend) -> list[str]:
    """For the header of the run: what it is, what it can, and which groups do not apply to it."""
    array = sample(backend)
    framework = type(array).__module__.partition(".")[0]
    places = ", ".join(backend.devices) or str(getattr(array, "device", "not named"))
    lines = [
        f"vtc: {backend.name} {_version(backend.name)}, arrays of {framework} {_version(framework)}",
        f"     dtypes {', '.join(backend.dtypes)}; variants {', '.join(backend.variants)}; devices {places}",
    ]
    for absent in (dtype for dtype in DTYPES if dtype not in backend.dtypes):
        lines.append(f"     does not apply: {absent}, not in its `dtypes`")
    if not hasattr(backend.module, "load_encoder"):
        lines.append("     does not apply: the encoder group, it has no `load_encoder`")
    elif absent := [dtype for dtype in backend.dtypes if dtype not in backend.encoder_dtypes]:
        lines.append(f"     does not apply: the encoder group in {', '.join(absent)}, not in its `encoder_dtypes`")
    if not hasattr(backend.module, "scan"):
        lines.append("     does not apply: the methods group, it has no `scan`")
    return lines


def _version(module: str) -> str:
    top = module.partition(".")[0]
    for distribution in importlib.metadata.packages_distributions().get(top, ()):
        return importlib.metadata.version(distribution)
    return getattr(importlib.import_module(top), "__version__", "(no version)")
