"""METHODS: every method of the catalogue, on the backend's arrays and verbs, chooses what it chooses on NumPy's.

For backends with `scan`, the loop of greedy methods, whose arrays follow the Python array API standard. The numbers are
such that lengths and cosines are exact, and many are equal: the lower index wins.
"""

import pytest

import vtc_core
from vtc_core.methods import METHODS as CATALOGUE

from . import choosing, compare, inputs
from .repro import Value, apply, array, given, literal
from .target import Target
from .tolerances import METHODS

every_method = pytest.mark.parametrize("method", choosing.names())
ROUNDED = ("gprune", "mmtok")  # they sum rounded numbers, in orders of each library's own: ties hang on the last bit
exact_methods = pytest.mark.parametrize("method", [name for name in choosing.names() if name not in ROUNDED])


def everything(method: str, dtype: str, batch: int = 2, side: int = 6, distinct: int = 64) -> dict[str, Value]:
    """All that can be seen of tiles of `side` x `side` tokens."""
    tokens, layers = side * side, choosing.layers_of(method)

    def vectors(name: str, seed: int, *shape: int) -> Value:
        if method in ROUNDED:
            return given(name, inputs.normal, seed, (*shape, 16), dtype)
        return given(name, inputs.unit_tokens, seed, shape, dtype, distinct)

    fields = {
        "places": given("places", inputs.places, batch, side),
        "tile": given("tile", inputs.zeros, (batch, tokens), "int32"),
        "keys": apply(inputs.heads_of, vectors("keys", 1, batch, tokens), 4),
        "features": vectors("features", 2, batch, tokens),
        "projected": vectors("projected", 3, batch, tokens),
        "cls_feature": apply(inputs.of_tile, given("cls", inputs.unit_tokens, 4, (batch,), dtype), tokens),
        "text": vectors("text", 10, batch, 5),
        "image_embeds": vectors("image_embeds", 11, batch, tokens),
        "text_embeds": vectors("text_embeds", 12, batch, 2),
    }
    signals = ("cls_attention", "cls_logits", "joint_attention", "received_attention", "sink_attention")
    for seed, name in enumerate(signals):
        shape = (batch, tokens, layers)
        fields[name] = given(name, inputs.sixtyfourths, 5 + seed, shape, inputs.wide(dtype), 3 * distinct)
    needed = {"places", "tile", "features", "cls_feature", "projected", *CATALOGUE[method].needs}
    return {name: field for name, field in fields.items() if name in needed}


def plain(target: Target) -> str:
    """One dtype, where it is not about dtypes."""
    return "float32" if "float32" in target.dtypes else target.dtypes[0]


def check(target: Target, method: str, keep: int, fields: dict[str, Value]) -> None:
    got = target.choose(method, keep, **fields)
    spec = choosing.choose(vtc_core, method, keep, **{name: field.it for name, field in fields.items()})
    code = f"choosing.choose(vtc_core, {method!r}, {keep}, {', '.join(f'{k}={x.code}' for k, x in fields.items())})"
    all_inputs = {name: made for field in fields.values() for name, made in field.given.items()}
    for part, expected in spec._asdict().items():
        if expected is not None:
            value = Value(expected, f"{code}.{part}", all_inputs)
            if part == "indices":
                target.check(compare.equal, got[part], value)
            else:
                target.check(compare.close_to_largest, got[part], value, METHODS)


@every_method
def test_methods_choose_what_numpy_chooses(target, dtype, method):
    fields = everything(method, dtype)
    for keep in (1, 7, 36):
        check(target, method, keep, fields)


@exact_methods
def test_methods_give_ties_to_the_lower_index(target: Target, method):
    """Of four different tokens, and of tokens that are all equal."""
    for distinct in (4, 1):
        check(target, method, 7, everything(method, plain(target), distinct=distinct))


@every_method
def test_methods_choose_of_many_tokens(target: Target, method):
    check(target, method, 64, everything(method, plain(target), batch=4, side=22))


@every_method
def test_methods_do_not_see_other_rows(target: Target, method):
    fields = everything(method, plain(target), batch=3)
    whole = target.choose(method, 7, **fields)
    alone = target.choose(method, 7, **{name: field[1:2] for name, field in fields.items()})
    target.check(compare.equal, alone["indices"][0], whole["indices"][1])


@pytest.mark.parametrize("count", [0, 1, 7])
def test_methods_scan_as_often_as_told(target, dtype, count):
    """x + 0 + 1 + ... after `count` steps, and what it was one step before."""
    now, before = target.scan(literal("x", [[0.0, 1.0], [2.0, -3.0]], dtype), count)
    added, earlier = sum(range(count)), sum(range(count - 1))
    target.check(compare.equal, now, array([[added, added + 1.0], [added + 2.0, added - 3.0]]))
    expected = [[earlier, earlier + 1.0], [earlier + 2.0, earlier - 3.0]] if count else [[0.0, 0.0]] * 2
    target.check(compare.equal, before, array(expected))
