"""Methods that read the prompt: MMTok, CDPruner and TRIM against their authors' code, CATP against its formula."""

from typing import Any

import numpy as np
import pytest

import vtc_core
from vtc_core.methods import Catp, CatpText, CdPruner, MmTok, Trim, combine
from vtc_core.methods.greedy import cover, dpp
from vtc_core.methods.mmtok import STOP_WORDS

from .vectors import ATOL, RTOL, Case, cases, choose, seen_of

every_backend = pytest.mark.parametrize("backend", ["numpy", "torch", "jax jitted"])  # eager JAX compiles each step


def shared(words, batch, fill=2):
    """The authors share the words over the batch; here each row has its own, filled up with zeros."""
    return np.pad(words, ((0, fill), (0, 0)))[None].repeat(batch, 0)


def seen_by_mmtok(case: Case):
    projected, features = case.inputs["projected"], case.inputs["features"]
    batch, tokens = projected.shape[:2]
    text = shared(case.inputs["text"], batch)
    return seen_of(int(tokens**0.5), batch, tokens, projected=projected, features=features, text=text)


@every_backend
@pytest.mark.parametrize("case", cases("mmtok"))
def test_mmtok_is_the_authors(case, backend):
    method = MmTok(*(case.params[name] for name in ("alpha", "tau_text", "tau_vision")))
    made = choose(backend, method, seen_by_mmtok(case), case.params["keep"])
    if "padding" in case.inputs:  # they leave padding out, here it competes: what is kept of it is the difference
        padding = case.inputs["padding"].astype(bool)
        assert not padding[0, case.outputs["indices"][0]].any()
        assert padding[0, made.indices[0]].any()
    else:
        np.testing.assert_array_equal(made.indices, case.outputs["indices"])
    coverage = case.outputs["text_coverage"].sum(1)
    alone = choose(backend, MmTok(0.0, case.params["tau_text"]), seen_by_mmtok(case), 1)
    np.testing.assert_allclose(alone.scores, coverage, 10 * RTOL, ATOL)


def test_mmtok_reads_what_the_authors_read():
    """Words in the order and case in which they stand; the sentences and words of their list are left out."""
    asked = "USER: \nWhat is the color of the Star on a bus, and who's it for? ASSISTANT:"
    assert MmTok().reads(asked) == "USER color of Star on bus s ASSISTANT"
    told = "Is it red?\nAnswer the question using a single word or phrase."
    assert MmTok().reads(told) == "red"
    assert MmTok().reads("What is it?") == "What is it?"
    assert len(STOP_WORDS.split()) == len(set(STOP_WORDS.split())) == 47
    assert CatpText().reads(asked) == CdPruner().reads(asked) == asked


def test_mmtok_without_words_covers_the_picture():
    case: Any = cases("mmtok")[2].values[0]
    seen = seen_by_mmtok(case)
    nothing = choose("numpy", MmTok(), seen._replace(text=np.zeros_like(seen.text)), 9)
    tiny = choose("numpy", MmTok(alpha=1e6), seen, 9)  # in which the words are next to nothing
    np.testing.assert_array_equal(nothing.indices, tiny.indices)
    assert nothing.indices.tolist() != case.outputs["indices"].tolist()


@every_backend
@pytest.mark.parametrize("case", cases("cdpruner"))
def test_cdpruner_is_the_authors(case, backend):
    projected, embeds = case.inputs["projected"], case.inputs["image_embeds"]
    batch, tokens = projected.shape[:2]
    words = shared(case.inputs["text_embeds"], batch)
    seen = seen_of(int(tokens**0.5), batch, tokens, projected=projected, image_embeds=embeds, text_embeds=words)
    made = choose(backend, CdPruner(), seen, case.params["keep"])
    np.testing.assert_array_equal(made.indices, case.outputs["indices"])
    if batch == 1:
        np.testing.assert_allclose(made.scores, case.outputs["relevance"], 10 * RTOL, 10 * ATOL)
    else:  # there of both rows together, here each by itself: the same up to scale and shift of a row
        assert (made.scores.min(1) < 1e-4).all()
        assert (case.outputs["relevance"].min(1) > 1e-4).any()
        for ours, theirs in zip(made.scores, case.outputs["relevance"], strict=True):
            np.testing.assert_array_equal(ours.argsort(), theirs.argsort())


def test_cdpruner_takes_no_token_twice_beyond_the_rank():
    """16 of 36 tokens of 8 numbers: the code's 14 different ones, NaN. Here the first 8 span all, then in order."""
    rng = np.random.default_rng(0)
    fields = {"projected": (1, 36, 8), "image_embeds": (1, 36, 8), "text_embeds": (1, 1, 8)}
    seen = seen_of(6, 1, 36, **{name: rng.standard_normal(shape).astype("f4") for name, shape in fields.items()})
    made = choose("numpy", CdPruner(), seen, 16)
    first = choose("numpy", CdPruner(), seen, 8)
    assert np.linalg.matrix_rank(seen.projected[0, first.indices[0]]) == 8
    others = [j for j in range(36) if j not in first.indices[0]]
    assert sorted(made.indices[0]) == sorted([*first.indices[0], *others[:8]])


def test_cdpruner_of_patches_that_clip_sees_alike_is_their_difference_alone():
    rng = np.random.default_rng(1)
    projected = rng.standard_normal((1, 12, 16)).astype("f4")
    alike = seen_of(
        4, 1, 12, projected=projected, image_embeds=np.ones((1, 12, 4), "f4"), text_embeds=np.ones((1, 1, 4), "f4")
    )
    made = choose("numpy", CdPruner(), alike, 5)
    unit = projected[0] / np.linalg.norm(projected[0], axis=1, keepdims=True)
    assert made.scores.tolist() == [[1.0] * 12]
    assert made.indices[0].tolist() == sorted(most_volume(unit @ unit.T, 5))


def most_volume(kernel, keep):
    """By determinants, one after the other."""
    chosen: list[int] = []
    while len(chosen) < keep:
        free = [j for j in range(len(kernel)) if j not in chosen]
        chosen.append(max(free, key=lambda j: np.linalg.slogdet(kernel[np.ix_([*chosen, j], [*chosen, j])])[1]))
    return chosen


@every_backend
@pytest.mark.parametrize("case", cases("trim"))
def test_trim_is_the_authors(case, backend):
    features, embeds, text = (case.inputs[name] for name in ("features", "image_embeds", "text_embeds"))
    batch, tokens = features.shape[:2]
    words = np.concatenate([text[:, None], np.ones_like(text)[:, None]], axis=1)  # what is after the first is not read
    seen = seen_of(int(tokens**0.5), batch, tokens, features=features, image_embeds=embeds, text_embeds=words)
    made = choose(backend, Trim(), seen, case.params["keep"])  # with the mean; theirs may hang on the call
    np.testing.assert_allclose(made.scores, case.outputs["scores"], 10 * RTOL, ATOL)
    np.testing.assert_array_equal(made.indices[:, :-1], case.outputs["indices"])
    assert (made.indices[:, -1] == -1).all()
    fed = combine(vtc_core, features, made)
    np.testing.assert_allclose(fed, case.outputs["tokens"], RTOL, ATOL)
    np.testing.assert_array_equal(fed[:, :-1], np.take_along_axis(features, made.indices[:, :-1, None], 1))


def test_trim_of_all_tokens_and_of_one():
    case: Any = cases("trim")[0].values[0]
    features = case.inputs["features"]
    seen = seen_of(4, 1, 16, features=features, image_embeds=case.inputs["image_embeds"])
    seen = seen._replace(text_embeds=case.inputs["text_embeds"][:, None])
    all_but_one = choose("numpy", Trim(), seen, 16)
    assert (all_but_one.weights.sum(1) == 1).all()
    assert ((all_but_one.weights == 1).sum(2) == 1).all()
    (mean,) = choose("numpy", Trim(), seen, 1).weights
    np.testing.assert_allclose(mean @ features[0], features.mean(1), RTOL, ATOL)


@every_backend
@pytest.mark.parametrize("keep", [1, 2, 7, 20, 40])
def test_catp_with_text_is_its_formula(keep, backend):
    rng = np.random.default_rng(2)
    projected, words = rng.standard_normal((3, 40, 12)), rng.standard_normal((3, 5, 12))
    words[1, 3:] = 0  # a shorter prompt
    seen = seen_of(5, 3, 40, projected=projected.astype("f4"), text=words.astype("f4"))
    made = choose(backend, CatpText(), seen, keep)
    for row in range(3):
        unit = projected[row] / np.linalg.norm(projected[row], axis=1, keepdims=True)
        mean = words[row, : 3 if row == 1 else 5].mean(0)
        similar = np.round((1 + unit @ unit.T) * 2**21) / 2**22
        bonus = np.round(0.7 * (1 + unit @ mean / np.linalg.norm(mean)) * 2**21) / 2**22
        chosen: list[int] = []
        while len(chosen) < keep:
            free = [j for j in range(40) if j not in chosen]
            chosen.append(max(free, key=lambda j: similar[:, [*chosen, j]].max(1).sum() + bonus[[*chosen, j]].sum()))
        assert made.indices[row].tolist() == sorted(chosen)


def test_catp_with_no_words_is_catp():
    projected = np.random.default_rng(3).standard_normal((2, 30, 8)).astype("f4")
    seen = seen_of(5, 2, 30, projected=projected, text=np.zeros((2, 4, 8), "f4"))
    for keep in (1, 9, 29):
        without = choose("numpy", Catp(), seen, keep).indices
        np.testing.assert_array_equal(choose("numpy", CatpText(), seen, keep).indices, without)
        np.testing.assert_array_equal(choose("numpy", CatpText(weight=0), seen, keep).indices, without)


def test_a_cover_of_rows_that_are_no_tokens():
    rows = np.array([[[1.0, 0.0, 0.6, 0.0], [0.0, 1.0, 0.6, 0.0]]])
    assert cover(vtc_core, rows, 4).tolist() == [[2, 0, 1, 3]]
    assert cover(vtc_core, rows, 4, np.array([[0.0, 0.0, 0.0, 2.0]])).tolist() == [[3, 2, 0, 1]]


def test_a_dpp_adds_most_to_the_volume_and_is_nested():
    root = np.random.default_rng(4).standard_normal((2, 20, 24))
    kernel = root @ root.swapaxes(1, 2)
    orders = [dpp(vtc_core, kernel, keep) for keep in (1, 4, 20)]
    assert [row.tolist() for row in orders[-1]] == [most_volume(one, 20) for one in kernel]
    for order in orders:
        np.testing.assert_array_equal(order, orders[-1][:, : order.shape[1]])
    equal = np.ones((1, 5, 5))
    equal[0, 3, 3] = np.nan
    assert dpp(vtc_core, equal, 5).tolist() == [[0, 1, 2, 4, 3]]
