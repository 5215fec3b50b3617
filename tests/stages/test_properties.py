"""What holds for every stage of the catalogue, whatever it sees: a stage that is listed is tested here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from methods.vectors import BACKENDS
from stages.asking import ask, both, left

from vtc_core.stages import EMPTY, NO_PLACE, STAGES, Running

HEADS, KV_HEADS, SIZE, DIM = 4, 2, 4, 8
every_stage = pytest.mark.parametrize("stage", [kind() for kind in STAGES.values()], ids=list(STAGES))


def running(stage, batch, tokens, length, seed=0, fill=None):
    """Visual tokens anywhere in the sequence but at its end, unless there are no others."""
    rng = np.random.default_rng([seed, tokens, length])

    def of(*shape):
        return (rng.normal(size=shape) if fill is None else np.full(shape, fill)).astype("f4")

    last = max(length - 1, tokens)
    visual = np.sort(np.argsort(rng.random((batch, last)), axis=1)[:, :tokens], axis=1)
    side = int(np.ceil(tokens**0.5))
    places = np.tile(np.stack(np.divmod(np.arange(tokens), side), -1), (batch, 1, 1))
    asking = {"last": 1, "text": length - tokens, "visual": tokens, "all": length}[stage.rows]
    shapes = dict.fromkeys(("query", "plain_query"), (HEADS, asking, SIZE))
    shapes |= dict.fromkeys(("keys", "plain_keys"), (KV_HEADS, length, SIZE))
    shapes |= dict.fromkeys(("hidden", "normed", "embeddings"), (length, DIM))
    fields = {name: of(batch, *shapes[name]) for name in stage.needs}
    return Running(visual, places, **fields, entered=visual if "embeddings" in stage.needs else None)


def check(stage, made, keep, tokens):
    """Ascending, unique, mixtures after the tokens and empty places after all; weights that go with them."""
    assert made.indices.shape[1] == keep
    assert np.asarray(made.scores).shape == (made.indices.shape[0], tokens)
    for row, indices in enumerate(made.indices.tolist()):
        kept = [index for index in indices if index >= 0]
        mixtures, empty = indices.count(NO_PLACE), indices.count(EMPTY)
        assert indices == [*kept, *[NO_PLACE] * mixtures, *[EMPTY] * empty]
        assert kept == sorted(set(kept))
        assert not kept or kept[-1] < tokens
        assert stage.adaptive or not empty
        assert stage.merges or not mixtures
        if made.weights is not None:
            sums = made.weights[row].sum(1)
            assert (sums[: keep - empty] > 0.9).all()
            assert not sums[keep - empty :].any()
            assert all(made.weights[row, place, index] > 0 for place, index in enumerate(kept))
    assert (made.weights is not None) == stage.merges


@every_stage
@settings(max_examples=25, deadline=None, derandomize=True)
@given(tokens=st.integers(1, 40), text=st.integers(1, 9), seed=st.integers(0, 99), data=st.data())
def test_as_many_as_scheduled_in_order_and_none_twice(stage, tokens, text, seed, data):
    layer, keep = data.draw(st.sampled_from(stage.schedule(32, tokens)))
    seen = running(stage, 2, tokens, tokens + text, seed)
    check(stage, ask("numpy", stage, seen, keep, 0.5, layer), keep, tokens)


@every_stage
@both
@pytest.mark.parametrize("fill", [None, 0.0, 0.5])
def test_one_visual_token_and_few(stage, backend, fill):
    for tokens, text in ((1, 1), (1, 0), (2, 0), (2, 5), (9, 1)):
        seen = running(stage, 2, tokens, tokens + text, fill=fill)
        for layer, keep in stage.schedule(32, tokens):
            check(stage, ask(backend, stage, seen, keep, 0.5, layer), keep, tokens)


@every_stage
@both
@pytest.mark.parametrize("every", [1, 3])
def test_of_nan_no_token_is_left_twice(stage, backend, every):
    for tokens, text in ((9, 3), (1, 2)):
        seen = running(stage, 1, tokens, tokens + text)
        for name in stage.needs:
            getattr(seen, name)[..., ::every, :] = np.nan
        layer, keep = stage.schedule(32, tokens)[0]
        with np.errstate(invalid="ignore"):
            made = ask(backend, stage, seen, keep, 0.5, layer)
        kept = [index for index in left(made) if index != NO_PLACE]
        assert kept == sorted(set(kept))


@every_stage
@both
def test_kv_heads_serve_as_many_query_heads_as_there_are(stage, backend):
    """In the order of transformers' `repeat_kv`."""
    seen = running(stage, 2, 20, 27, seed=3)
    given = {name: np.repeat(getattr(seen, name), HEADS // KV_HEADS, axis=1) for name in stage.needs if "keys" in name}
    layer, keep = stage.schedule(32, 20)[0]
    ours, repeated = (ask(backend, stage, x, keep, 0.5, layer) for x in (seen, seen._replace(**given)))
    np.testing.assert_array_equal(ours.indices, repeated.indices)
    if "query" in "".join(stage.needs):
        np.testing.assert_allclose(ours.scores, repeated.scores, 1e-5, 1e-6)


@every_stage
@both
def test_rows_are_independent(stage, backend):
    seen = running(stage, 3, 25, 31)
    for layer, keep in stage.schedule(32, 25):
        together = ask(backend, stage, seen, keep, 0.5, layer)
        for row in range(3):
            alone = Running(*(None if field is None else field[row : row + 1] for field in seen))
            one = ask(backend, stage, alone, keep, 0.5, layer)
            np.testing.assert_array_equal(one.indices[0], together.indices[row])
            if stage.merges:
                np.testing.assert_allclose(one.weights[0], together.weights[row], 1e-6, 1e-7)


@every_stage
def test_every_array_library_chooses_the_same(stage):
    seen = running(stage, 2, 20, 27, seed=1)
    for layer, keep in stage.schedule(32, 20)[:2]:
        made = {backend: ask(backend, stage, seen, keep, 0.5, layer) for backend in ("numpy", "torch", "jax jitted")}
        for backend in ("torch", "jax jitted"):
            np.testing.assert_array_equal(made[backend].indices, made["numpy"].indices)
            np.testing.assert_allclose(made[backend].scores, made["numpy"].scores, 1e-5, 1e-6)


@every_stage
def test_of_equal_tokens_the_lower_indices_are_left(stage):
    """Nothing tells tokens apart: what is left is at the start, but for a grid, for pivots and where all are one."""
    seen = running(stage, 1, 16, 20, fill=0.5)
    layer, keep = stage.schedule(32, 16)[0]
    chosen = {
        backend: left(ask(backend, stage, seen, keep, 0.5, layer)) for backend in ("numpy", "torch", "jax jitted")
    }
    assert all(indices == chosen["numpy"] for indices in chosen.values())
    if stage.name != "feather" and stage.name != "aim":  # where position counts, tokens are not equal
        kept = [index for index in chosen["numpy"] if index != NO_PLACE]
        assert kept == list(range(len(kept)))


@every_stage
@both
def test_all_tokens_are_left_as_they_are_where_all_may_stay(stage, backend):
    if stage.adaptive or stage.name == "aim":
        return
    seen = running(stage, 2, 6, 9)
    made = ask(backend, stage, seen, 6, 0.5, stage.schedule(32, 6)[0][0])
    assert made.indices.tolist() == [[0, 1, 2, 3, 4, 5]] * 2
    if stage.merges:
        np.testing.assert_array_equal(made.weights, np.tile(np.eye(6), (2, 1, 1)))


@every_stage
def test_none_may_be_left(stage):
    if stage.merges or stage.name == "todre":
        return
    made = ask("torch", stage, running(stage, 2, 6, 9), 0, 0.5, stage.schedule(32, 6)[0][0])
    assert made.indices.shape == (2, 0)


@every_stage
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits_are_accumulated_in_32(stage, dtype):
    """The choice of 16-bit states is that of the same numbers in 32 bits."""
    import torch

    v, _ = BACKENDS["torch"]
    seen = running(stage, 2, 20, 27, seed=2)
    half = Running(
        *(
            None
            if x is None
            else torch.tensor(x).to(getattr(torch, dtype))
            if x.dtype == np.float32
            else torch.tensor(x)
            for x in seen
        )
    )
    wide = Running(*(None if x is None else x.float() if x.is_floating_point() else x for x in half))
    layer, keep = stage.schedule(32, 20)[0]
    ours, wanted = (stage.choose(v, s, keep, 0.5, layer) for s in (half, wide))
    assert torch.equal(ours.indices, wanted.indices)
    assert ours.scores.dtype == torch.float32
    if stage.merges:
        torch.testing.assert_close(ours.weights, wanted.weights)
