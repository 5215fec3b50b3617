"""Methods in words: "visionzip:contextual=10" on a command line, a JSON object in saved settings, a value in Python."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from .catalogue import METHODS
from .method import Method
from .vtc_cls import VtcCls


def method_of(value: Any) -> Method:
    """A method from any of its spellings: the value itself, a name with parameters, or a mapping.

    >>> method_of("visionzip:contextual=10") == method_of({"name": "visionzip", "contextual": 10})
    True

    Raises:
        ValueError, TypeError: an unknown name (the known are listed), an unknown parameter, a value it cannot have.
    """
    examples = "a name such as 'vtc-cls' or 'visionzip:contextual=10', or a value such as VtcCls(layers=3)"
    return listed("method", METHODS, value, examples, "choose")


def listed(what: str, catalogue: Mapping[str, type], value: Any, examples: str, verb: str) -> Any:
    """A value of a class of the catalogue, from any of its spellings, or one with this verb; errors call it `what`."""
    if isinstance(value, str):
        return _made(what, catalogue, *_parsed(what, value))
    if isinstance(value, Mapping):
        given = dict(value)
        return _made(what, catalogue, given.pop("name", None), given)
    if isinstance(value, type) or not callable(getattr(value, verb, None)):
        raise TypeError(f"{what} must be {examples}, got {value!r}")
    return value


def either(held: Method | None, method: Any = None, layers: Any = None, reduce: Any = None) -> Method:
    """`method`; or VTC-CLS with `layers` and `reduce`, its shorthands; or what is held already; or the default.

    Raises:
        ValueError, TypeError: as `method_of`; both a method and shorthands.
    """
    given = {name: value for name, value in (("layers", layers), ("reduce", reduce)) if value is not None}
    if method is None:
        held = held or VtcCls()
        if not given:
            return held
        return replace(held, **given) if type(held) is VtcCls else VtcCls(**given)
    if given:
        raise ValueError(f"{' and '.join(given)} are shorthands for method 'vtc-cls': pass either them or method")
    return method_of(method)


def saved(method: Any) -> dict[str, Any]:
    """Of a method or a stage, for a JSON file; `method_of` or `stage_of` reads it back."""
    return {"name": method.name} | {field.name: getattr(method, field.name) for field in _fields(type(method))}


def spelled(method: Any) -> str:
    """The shortest text that `method_of` or `stage_of` makes the same value of: without parameters at their default."""
    given = {
        field.name: getattr(method, field.name)
        for field in _fields(type(method))
        if field.default is MISSING or getattr(method, field.name) != field.default
    }
    return ":".join([method.name, *([",".join(f"{k}={_text(v)}" for k, v in given.items())] if given else [])])


def _made(what: str, catalogue: Mapping[str, type], name: Any, given: dict[str, Any]) -> Any:
    if name not in catalogue:
        raise ValueError(f"{what} must be one of {', '.join(catalogue)}, got {name!r}")
    kind = catalogue[name]
    known = {field.name: isinstance(field.default, tuple) for field in _fields(kind)}
    for parameter in given:
        if parameter not in known:
            have = f"{name} has {', '.join(known)}" if known else f"{name} has none"
            raise ValueError(f"{parameter!r} is no parameter of {what} {name!r}: {have}")
    return kind(**{key: _several(value, known[key]) for key, value in given.items()})


def _several(value: Any, always: bool) -> Any:
    """JSON's lists are tuples; a parameter that is `always` one takes one number as a tuple of it."""
    value = tuple(value) if isinstance(value, list) else value
    return (value,) if always and not isinstance(value, tuple) else value


def _parsed(what: str, text: str) -> tuple[str, dict[str, Any]]:
    name, _, parameters = text.strip().partition(":")
    given = {}
    for part in filter(None, parameters.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not value or key in given:
            raise ValueError(f"{what} must be NAME or NAME:key=value,... with every key once, got {text!r}")
        given[key.strip()] = _value(value.strip())
    return name, given


def _value(text: str) -> Any:
    """A number, true, false or null as JSON has it; numbers as 20+21+22, a single one of such as 20+; else a word."""
    parts = tuple(map(_read, text.removesuffix("+").split("+")))
    if "+" in text and not any(isinstance(part, str) for part in parts):
        return parts
    return _read(text)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_text, value)) + "+" * (len(value) == 1)
    return value if isinstance(value, str) else json.dumps(value)


def _fields(kind: type) -> tuple[Any, ...]:
    return fields(kind)
