"""Values that know the code that makes them, so that every failure can be pasted into Python."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import vtc_core

from . import inputs

HELPERS = ("checkpoints", "choosing", "compare", "inputs", "oracle")  # modules that code to paste may need


class Deviation(AssertionError):
    """The backend does not do what the clause says."""


@dataclass(frozen=True)
class Value:
    """An array (or whatever code can make), the code that makes it, and the named inputs which that code needs."""

    it: Any
    code: str
    given: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, key: Any) -> "Value":
        return Value(self.it[key], f"{self.code}[{key!r}]", self.given)

    def wide(self) -> "Value":
        """In float64, which holds every float of every dtype here."""
        return Value(self.it.astype(np.float64), f"{self.code}.astype('float64')", self.given)


def given(name: str, make: Callable[..., Any], *args: Any) -> Value:
    """A named input made by a recipe: `given("scores", inputs.array, [[1.0, 2.0]], "float32")`."""
    made = apply(make, *args)
    return Value(made.it, name, {name: made.code})


def literal(name: str, values: Any, dtype: str) -> Value:
    """A named input written out."""
    return given(name, inputs.array, values, dtype)


def array(values: Any) -> Value:
    """An expected result written out."""
    return Value(np.array(values), f"np.array({values!r})")


def spec(verb: str, *args: Any) -> Value:
    """What the specification says."""
    return apply(getattr(vtc_core, verb), *args, name=f"vtc_core.{verb}")


def apply(function: Callable[..., Any], *args: Any, name: str = "") -> Value:
    """`function` of plain arguments and values; by default called `module.function` in the code."""
    name = name or f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    return Value(function(*map(plain, args)), f"{name}({listing(args)})", inputs_of(args))


def plain(x: Any) -> Any:
    return x.it if isinstance(x, Value) else x


def listing(args: Any, kwargs: Any = (), write: Callable[[Value], str] = lambda value: value.code) -> str:
    """Arguments as code."""
    codes = [write(x) if isinstance(x, Value) else repr(x) for x in args]
    return ", ".join(
        [*codes, *(f"{k}={write(x) if isinstance(x, Value) else repr(x)}" for k, x in dict(kwargs).items())]
    )


def inputs_of(args: Any) -> dict[str, str]:
    """The named inputs of all arguments; one name is one input."""
    together: dict[str, str] = {}
    for x in args:
        for name, code in x.given.items() if isinstance(x, Value) else ():
            if together.setdefault(name, code) != code:
                raise ValueError(f"two inputs are called {name}: {code} and {together[name]}")
    return together


def script(module: str, given: dict[str, str], *lines: str) -> str:
    """A program to paste: the imports it needs, inputs, then `lines`."""
    body = "\n".join([*(f"{name} = {code}" for name, code in given.items()), *lines])
    imports = {
        "np": "import numpy as np",
        "vtc_core": "import vtc_core",
        "inf": "from numpy import inf",
        "nan": "from numpy import nan",
        "backend": f"import {module} as backend",
        **{
            helper: f"from vtc_conformance import {helper}"
            for helper in ("checkpoints", "choosing", "compare", "inputs", "oracle")
        },
    }
    return "\n".join([*(line for word, line in imports.items() if re.search(rf"\b{word}\b", body)), "", body])
