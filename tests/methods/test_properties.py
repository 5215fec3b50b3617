"""What holds for every method of the catalogue, whatever it sees: a method that is listed is tested here."""

import ml_dtypes
import numpy as np
import pytest
import torch
from methods.vectors import BACKENDS, choose

import vtc_core
import vtc_torch
from vtc_core.methods import METHODS, Seen
from vtc_core.methods.method import ATTENTION, OF_PROMPT

HEADS, DIM, WORDS = 2, 8, 12
NARROW = ("keys", "features", "projected", "cls_feature", "text", "image_embeds", "text_embeds")  # in the model's dtype
ROUNDED = ("mmtok", "cdpruner")  # they sum rounded numbers, in an order of each library's own: equal tokens alone tie
every_method = pytest.mark.parametrize("method", [kind() for kind in METHODS.values()], ids=list(METHODS))
SIZES = [(1, 1), (2, 1), (2, 2), (3, 2), (16, 1), (16, 7), (16, 16), (17, 16), (36, 12), (37, 33), (81, 40)]


def shapes(method, tokens):
    """Of every field that the method needs, without the batch."""
    sizes = dict.fromkeys(ATTENTION, (tokens, max(1, len(method.layers_seen(24, -2)))))
    sizes |= dict.fromkeys(("features", "projected", "cls_feature", "image_embeds"), (tokens, DIM))
    sizes |= dict.fromkeys(OF_PROMPT, (WORDS, DIM))
    sizes |= {"keys": (tokens, HEADS, DIM), "flow": (tokens,)}
    return {name: sizes[name] for name in method.needs}


def seen_of(method, batch, tokens, fill=None, tiles=1):
    """Tokens on a grid as square as they go; in several tiles, the base tile and crops from left to right."""
    rng = np.random.default_rng(tokens)
    side = int(np.ceil(np.sqrt(tokens)))
    places = np.stack(np.divmod(np.arange(tokens), side), -1)
    tile = np.arange(tokens) * tiles // tokens
    fields = {}
    for name, shape in shapes(method, tokens).items():
        x = rng.normal(size=(batch, *shape)) if fill is None else np.full((batch, *shape), fill)
        if fill is None and name in ATTENTION and name != "cls_logits":
            x = np.exp(x)
            x = x / x.sum(1, keepdims=True)
        if name == "cls_feature":
            x = np.broadcast_to(x[:, :1], x.shape)
        fields[name] = np.ascontiguousarray(x, np.float32)
    return Seen(np.tile(places, (batch, 1, 1)), np.tile(tile, (batch, 1)), **fields)


def check(method, choice, batch, tokens, keep):
    indices = np.asarray(choice.indices)
    assert indices.shape == (batch, keep)
    assert np.asarray(choice.scores).shape == (batch, tokens)
    assert (choice.weights is not None) == method.merges
    assert indices.min() >= (-1 if method.merges else 0)
    assert indices.max() < tokens
    for row in indices:
        patches = row[row >= 0]
        assert len(set(patches)) == len(patches)
    if not method.merges:
        assert keep < tokens or (np.sort(indices, 1) == np.arange(tokens)).all()
    else:
        weights = np.asarray(choice.weights)
        assert weights.shape == (batch, keep, tokens)
        assert weights.dtype in (np.float32, np.float64)


@every_method
@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("tiles", [1, 3])
def test_as_many_tokens_as_asked_for_and_none_twice(method, backend, tiles):
    for tokens, keep in SIZES:
        choice = choose(backend, method, seen_of(method, 2, tokens, tiles=tiles), keep)
        check(method, choice, 2, tokens, keep)
        if choice.weights is not None:
            assert np.isfinite(choice.weights).all()


@every_method
def test_as_many_tokens_as_asked_for_under_jit(method):
    for tokens, keep in ((16, 7), (17, 1)):
        seen = seen_of(method, 2, tokens)
        choice = choose("jax jitted", method, seen, keep)
        check(method, choice, 2, tokens, keep)
        np.testing.assert_array_equal(choice.indices, choose("numpy", method, seen, keep).indices)


@every_method
def test_thousands_of_tokens(method):
    check(method, choose("torch", method, seen_of(method, 1, 3000, tiles=5), 100), 1, 3000, 100)


@every_method
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_s7_a_row_is_chosen_as_if_it_were_alone(method, backend):
    """The others may even be NaN."""
    for keep in (1, 5, 24):
        seen = seen_of(method, 3, 25, tiles=2)
        together = choose(backend, method, seen, keep)
        for row in range(3):
            alone = Seen(*(None if x is None else x[row : row + 1] for x in seen))
            np.testing.assert_array_equal(choose(backend, method, alone, keep).indices[0], together.indices[row])
        for name in method.needs:
            getattr(seen, name)[1:] = np.nan
        with np.errstate(invalid="ignore"):
            beside_nan = choose(backend, method, seen, keep)
        np.testing.assert_array_equal(beside_nan.indices[0], together.indices[0])


@every_method
@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("fill", [0.0, 0.25, np.nan])
def test_nothing_to_choose_by(method, backend, fill):
    """All tokens alike, nothing at all, or NaN: a choice all the same, and the same whenever asked."""
    for tokens, keep in ((1, 1), (9, 1), (16, 6), (17, 17)):
        seen = seen_of(method, 2, tokens, fill=fill)
        with np.errstate(invalid="ignore"):
            choice = choose(backend, method, seen, keep)
            again = choose(backend, method, seen, keep)
        check(method, choice, 2, tokens, keep)
        np.testing.assert_array_equal(choice.indices, again.indices)
        np.testing.assert_array_equal(choice.indices[0], choice.indices[1])


@every_method
@pytest.mark.parametrize("name", [name for name in Seen._fields if name not in ("places", "tile")])
def test_some_nan(method, name):
    if name not in method.needs:
        return
    for keep in (1, 6, 15, 16):
        seen = seen_of(method, 1, 16)
        getattr(seen, name)[0, [0, 3, 8]] = np.nan
        with np.errstate(invalid="ignore"):
            check(method, choose("numpy", method, seen, keep), 1, 16, keep)


@every_method
def test_ties_go_to_the_lower_index_on_every_backend(method):
    """Every token twice, of numbers that every sum and length is exact of: NumPy, torch and JAX choose the same."""
    seen = seen_of(method, 1, 8)
    signs = np.pad(np.where(np.random.default_rng(0).random((4, 4)) < 0.5, -1.0, 1.0), ((0, 0), (0, DIM - 4)))
    for name in method.needs:
        x = getattr(seen, name)
        if name in OF_PROMPT:
            x[:] = signs[np.arange(WORDS) % 4]
            continue
        x[:] = np.round(x[:, np.arange(8) % 4] * 64) / 64
        if method.name in ROUNDED:
            continue
        if x.ndim > 2 and x.shape[-1] == DIM:
            x[:] = (signs[:, None, :] if x.ndim == 4 else signs)[np.arange(8) % 4]
        if name == "cls_feature":
            x[:] = x[:, :1]
    chosen = {backend: choose(backend, method, seen, 3).indices.tolist() for backend in BACKENDS if backend != "jax"}
    assert all(indices == chosen["numpy"] for indices in chosen.values()), chosen


@every_method
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits_are_accumulated_in_32(method, dtype):
    """The choice of 16-bit features is that of the same numbers in 32 bits."""
    narrow = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16
    seen = seen_of(method, 2, 36)
    given = {name: getattr(seen, name) for name in NARROW}
    rounded = {name: x.astype(narrow).astype(np.float32) for name, x in given.items() if x is not None}
    wide = Seen(*(None if x is None else torch.tensor(x) for x in seen._replace(**rounded)))
    half = {name: torch.tensor(x).to(getattr(torch, dtype)) for name, x in rounded.items()}
    ours, wanted = (method.choose(vtc_torch, s, 12) for s in (wide._replace(**half), wide))
    assert torch.equal(ours.indices, wanted.indices)
    if method.merges:
        assert ours.weights.dtype == torch.float32
        torch.testing.assert_close(ours.weights, wanted.weights)


@every_method
def test_float64_stays_float64(method):
    """No mix of the two, which torch refuses to multiply."""
    seen = seen_of(method, 1, 16)
    seen = seen._replace(**{name: getattr(seen, name).astype(np.float64) for name in method.needs})
    choice = method.choose(vtc_core, seen, 6)
    check(method, choice, 1, 16, 6)
    check(method, choose("torch", method, seen, 6), 1, 16, 6)
    if method.merges:
        assert np.asarray(choice.weights).dtype == np.float64
