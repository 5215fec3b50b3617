"""One way to run a backend, and the checks of the suite against it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from . import choosing, compare, repro
from .protocol import EAGER, Backend
from .repro import Deviation, Value


@dataclass(frozen=True)
class Target:
    """A variant of a backend on a device; for a test also its clause and dtype, to name them in failures."""

    backend: Backend
    variant: str
    device: str  # empty when the backend names none
    clause: str
    dtype: str = ""  # empty for a test that is not about one dtype

    def __str__(self) -> str:
        return "-".join(filter(None, (self.backend.name, self.variant, self.device, self.dtype)))

    @property
    def verbs(self) -> Any:
        return self.backend.namespace(self.variant)

    @property
    def dtypes(self) -> tuple[str, ...]:
        return self.backend.dtypes_of(self.variant)

    def raw(self, verb: str, *args: Any, **kwargs: Any) -> Value:
        """What the verb makes of these arguments, as the backend returns it."""
        __tracebackhide__ = True

        def run() -> Any:
            return getattr(self.verbs, verb)(*map(self._read, args), **{k: self._read(x) for k, x in kwargs.items()})

        code = f"{self._prefix}.{verb}({repro.listing(args, kwargs, self._write)})"
        return self._run(run, code, repro.inputs_of([*args, *kwargs.values()]))

    def call(self, verb: str, *args: Any, **kwargs: Any) -> Value:
        """What the verb makes of these arguments, back in NumPy."""
        __tracebackhide__ = True
        return self._numpy(self.raw(verb, *args, **kwargs))

    def prune(self, *args: Any, **kwargs: Any) -> list[Value]:
        """Features, indices and scores, back in NumPy."""
        __tracebackhide__ = True
        return self._parts(self.raw("prune", *args, **kwargs))

    def choose(self, method: str, keep: int, **fields: Value) -> dict[str, Value]:
        """What a method of the catalogue chooses on the backend's arrays and verbs, and what is fed; no Nones."""
        __tracebackhide__ = True
        code = f"choosing.choose({self._prefix}, {method!r}, {keep}, {repro.listing((), fields, self._write)})"

        def run() -> Any:
            return choosing.choose(self.verbs, method, keep, **{name: self._read(x) for name, x in fields.items()})

        chosen = self._run(run, code, repro.inputs_of(fields.values()))
        return {
            part: self._numpy(Value(x, f"{code}.{part}", chosen.given))
            for part, x in chosen.it._asdict().items()
            if x is not None
        }

    def scan(self, array: Value, count: int) -> list[Value]:
        """The state that `choosing.scanned` makes of an array."""
        __tracebackhide__ = True
        code = f"choosing.scanned({self._prefix}, {self._write(array)}, {count})"
        state = self._run(lambda: choosing.scanned(self.verbs, self._read(array), count), code, array.given)
        return [self._numpy(Value(state.it[part], f"{code}[{part}]", state.given)) for part in range(2)]

    def encode(self, checkpoint: Value, pixels: Value, **settings: Any) -> list[Value]:
        """Features, indices and scores that the backend's encoder makes of a checkpoint and pixels."""
        __tracebackhide__ = True
        settings |= {"device": self.device} if self.device else {}
        code = f"{self._prefix}.load_encoder({repro.listing([checkpoint], settings)})({self._write(pixels)})"

        def run() -> Any:
            return self.verbs.load_encoder(checkpoint.it, **settings)(self._read(pixels))

        return self._parts(self._run(run, code, repro.inputs_of([checkpoint, pixels])))

    def resolve_layers(self, *args: Any) -> Value:
        __tracebackhide__ = True
        code = f"backend.resolve_layers({repro.listing(args)})"
        return self._run(lambda: self.backend.module.resolve_layers(*args), code, {})

    def round_trip(self, array: Value) -> Value:
        __tracebackhide__ = True
        return self._numpy(self._run(lambda: self._read(array), self._write(array), array.given))

    def check(self, comparison: Callable[..., None], got: Value, *expected: Any) -> None:
        """`comparison(got, *expected)` holds, or a Deviation tells which clause it breaks, and how to see it."""
        __tracebackhide__ = True
        try:
            comparison(got.it, *map(repro.plain, expected))
        except AssertionError as difference:
            self._fail(
                str(difference),
                repro.inputs_of([got, *expected]),
                f"got = {got.code}",
                "print(got)",
                f"compare.{comparison.__name__}(got, {repro.listing(expected)})",
            )

    def check_refusal(self, kind: type[Exception], message: str, verb: str, *args: Any, **kwargs: Any) -> None:
        """The verb refuses these arguments with this exception and this message."""
        __tracebackhide__ = True
        plain = verb == "resolve_layers"  # no arrays: it is the same in all variants
        verbs, prefix = (self.backend.module, "backend") if plain else (self.verbs, self._prefix)
        ready = list(map(self._read, args))
        try:
            compare.refuses(lambda: getattr(verbs, verb)(*ready, **kwargs), kind, message)
        except AssertionError as difference:
            call = f"lambda: {prefix}.{verb}({repro.listing(args, kwargs, self._write)})"
            line = f"compare.refuses({call}, {kind.__name__}, {message!r})"
            self._fail(str(difference), repro.inputs_of(args), line)

    # --- calls, and how they are written ------------------------------------------------------------------------------

    @property
    def _prefix(self) -> str:
        return "backend" if self.variant == EAGER else f"backend.variants[{self.variant!r}]"

    def _read(self, x: Any) -> Any:
        device = (self.device,) if self.device else ()
        return self.backend.module.from_numpy(x.it, *device) if is_array(x) else repro.plain(x)

    def _write(self, x: Value) -> str:
        return f"backend.from_numpy({x.code}{f', {self.device!r}' if self.device else ''})" if is_array(x) else x.code

    def _numpy(self, x: Value) -> Value:
        __tracebackhide__ = True
        got = self._run(lambda: self.backend.module.to_numpy(x.it), f"backend.to_numpy({x.code})", x.given)
        if not isinstance(got.it, np.ndarray):
            self._fail(f"to_numpy returned {type(got.it).__name__}, not a NumPy array", got.given, f"print({got.code})")
        return got

    def _parts(self, pruned: Value) -> list[Value]:
        __tracebackhide__ = True
        return [self._numpy(Value(pruned.it[part], f"{pruned.code}[{part}]", pruned.given)) for part in range(3)]

    def _run(self, run: Callable[[], Any], code: str, given: dict[str, str]) -> Value:
        __tracebackhide__ = True
        try:
            return Value(run(), code, given)
        except Exception as error:
            self._fail(f"raised {type(error).__name__}: {error}", given, f"print({code})", cause=error)

    def _fail(self, difference: str, given: dict[str, str], *lines: str, cause: Exception | None = None) -> NoReturn:
        __tracebackhide__ = True
        where = [f"backend {self.backend.name}", f"variant {self.variant}"]
        where += [f"device {self.device}"] * bool(self.device) + [f"dtype {self.dtype}"] * bool(self.dtype)
        raise Deviation(
            f"{self.clause} is broken: {', '.join(where)}\n{difference}\n\nPaste into Python to see it:\n\n"
            + repro.script(self.backend.name, given, *lines)
        ) from cause


def is_array(x: Any) -> bool:
    return isinstance(x, Value) and isinstance(x.it, np.ndarray)


def targets(backend: Backend, clause: str) -> Iterator[Target]:
    for variant in backend.variants:
        for device in backend.devices or ("",):
            yield Target(backend, variant, device, clause)
