"""GlobalCom2 against its authors' code, and where it is meant to differ."""

import numpy as np
import pytest
from methods.vectors import BACKENDS, cases, choose, every_backend, seen_of

from vtc_core.methods import GlobalCom2
from vtc_core.methods.globalcom2 import enlarged, scores, shares
from vtc_core.methods.tiles import tiles


def seen_in(case):
    """The base tile, then the crops' tokens that are no padding, in raster order of the joined picture."""
    logits = case.inputs["cls_logits"].mean(1)
    side, columns = case.params["side"], case.params["grid_columns"]
    crop, patch = np.nonzero(case.outputs["valid"])
    row, column = crop // columns * side + patch // side, crop % columns * side + patch % side
    order = np.lexsort((column, row))
    crop, patch, row, column = (x[order] for x in (crop, patch, row - row.min(), column - column.min()))
    places = np.stack(np.divmod(np.arange(side * side), side), -1)
    places = np.concatenate([places, np.stack([row, column], -1)])
    tile = np.concatenate([np.zeros(side * side, int), 1 + crop])
    logits = np.concatenate([logits[0], logits[1 + crop, patch]])
    seen = seen_of(places[None], 1, len(tile), cls_logits=logits[None, :, None])._replace(tile=tile[None])
    return seen, np.concatenate([np.arange(side * side), patch])


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])  # jitted in the next test
@pytest.mark.parametrize("case", cases("globalcom2"))
def test_equals_the_authors_code_at_its_own_budgets(backend, case):
    v, converted = BACKENDS[backend]
    seen, patch = seen_in(case)
    params, out, tile = case.params, case.outputs, seen.tile[0]
    logits, places, of = converted(seen.cls_logits[..., 0]), converted(seen.places), tiles(converted(seen.tile))
    ours = np.asarray(scores(v, logits, places, of))[0]
    larger = np.asarray(enlarged(v, logits, places, of[:, :, 0]))[0]
    share = np.asarray(shares(logits, places, of, params["temperature"]))[0]

    np.testing.assert_array_equal(
        np.argsort(-ours[tile == 0])[: len(out["thumbnail_indices"])], out["thumbnail_indices"]
    )
    scales = np.minimum(1, params["ratio"] * share)[1 : len(out["scales"]) + 1]
    np.testing.assert_allclose(scales, out["scales"], 1e-5)
    for crop, (scale, count) in enumerate(zip(scales, out["crop_counts"], strict=True)):
        inside = np.flatnonzero(tile == crop + 1)
        np.testing.assert_allclose(larger[inside], out["upsampled"][crop][: len(inside)], 1e-5, 1e-5)
        assert int(len(inside) * scale) == count
        theirs = out["order"][out["order"][:, 0] == crop, 1]
        assert sorted(patch[inside[np.argsort(-ours[inside])[:count]]]) == sorted(theirs)


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax jitted"])
@pytest.mark.parametrize("case", cases("globalcom2"))
def test_a_total_budget_is_kept_exactly(backend, case):
    """As many tokens as there; every quota is within one of the scaled share, and what is missing goes by score."""
    seen, _ = seen_in(case)
    tile, tokens = seen.tile[0], seen.tile.shape[1]
    keep = int(case.outputs["crop_counts"].sum()) + len(case.outputs["thumbnail_indices"])
    choice = choose(backend, GlobalCom2(case.params["temperature"]), seen, keep)
    np.testing.assert_array_equal(choice.indices[0], np.unique(choice.indices[0]))
    kept = np.bincount(tile[choice.indices[0]], minlength=tile.max() + 1)
    assert kept.sum() == keep
    sizes = np.bincount(tile)
    assert kept[0] == max(1, keep * sizes[0] // tokens)
    wanted = sizes[1:] * (case.outputs["scales"] / case.params["ratio"])
    wanted *= (keep - kept[0]) / wanted.sum()
    assert (kept[1:] >= np.floor(wanted - 1e-4)).all()

    numpy = BACKENDS["numpy"][0]
    ours = scores(numpy, seen.cls_logits[..., 0], seen.places, tiles(seen.tile))[0]
    for number, count in enumerate(kept):
        inside = np.flatnonzero(tile == number)
        best = inside[np.argsort(-ours[inside], kind="stable")[:count]]
        assert set(best) == set(choice.indices[0][tile[choice.indices[0]] == number])


@every_backend
def test_fed_in_raster_order_whatever_order_tokens_compete_in(backend):
    case = cases("globalcom2")[1].values[0]
    seen, _ = seen_in(case)
    shuffled = np.random.default_rng(0).permutation(seen.tile.shape[1])
    wanted = choose(backend, GlobalCom2(), seen, 20).indices
    mixed = seen._replace(
        places=seen.places[:, shuffled], tile=seen.tile[:, shuffled], cls_logits=seen.cls_logits[:, shuffled]
    )
    got = choose(backend, GlobalCom2(), mixed, 20).indices
    np.testing.assert_array_equal(shuffled[got], wanted)


@every_backend
@pytest.mark.parametrize("number", [0, 3])
def test_one_tile_alone_is_the_highest_logits(backend, number):
    """A deviation: there it is refused."""
    logits = np.random.default_rng(0).normal(size=(2, 25, 1)).astype(np.float32)
    seen = seen_of(5, 2, 25, cls_logits=logits)._replace(tile=np.full((2, 25), number))
    wanted = np.sort(np.argsort(-logits[..., 0], 1)[:, :7], 1)
    np.testing.assert_array_equal(choose(backend, GlobalCom2(), seen, 7).indices, wanted)
