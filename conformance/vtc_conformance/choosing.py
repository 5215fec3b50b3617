"""Methods of the catalogue on the arrays and verbs of a backend, as an encoder asks them."""

from typing import Any, NamedTuple

from vtc_core.methods import METHODS, Seen, combine, method_of


class Chosen(NamedTuple):
    """A `Choice`, and the tokens that it feeds; None where there are no weights, or nothing was seen to be fed."""

    indices: Any
    scores: Any
    weights: Any
    fed: Any


def names() -> list[str]:
    """Those that choose once: progressive ones do so in every layer of an encoder."""
    return [name for name, method in METHODS.items() if not method.progressive]


def layers_of(name: str) -> int:
    """How many layers it looks at in an encoder of 24, as LLaVA's."""
    return len(method_of(name).layers_seen(24, 23))


def choose(backend: Any, name: str, keep: int, **fields: Any) -> Chosen:
    """Of all that can be seen a method is shown what it needs, as in an encoder."""
    method = method_of(name)
    shown = {field: x for field, x in fields.items() if field in ("places", "tile", *method.needs)}
    choice = method.choose(backend, Seen(**shown), keep)
    cls = fields["cls_feature"][:, 0] if method.feeds_cls else None
    features = fields["projected" if method.merges_projected else "features"]
    return Chosen(*choice, combine(backend, features, choice, cls))


def scanned(backend: Any, array: Any, count: int) -> Any:
    """The state after `count` steps of x, y = x + i, x: what was added when, and the number of the steps."""
    return backend.scan(lambda i, x, y: (x + i * (1 + 0 * x), x), (array, 0 * array), count)
