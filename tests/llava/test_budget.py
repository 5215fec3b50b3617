"""How many tokens are kept, by hand and for random sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtc_llava.budget import Budget, budget, candidate_groups, keeps_all, num_visual_tokens
from vtc_llava.geometry import anyres, frames, one_tile

PINPOINTS = ((24, 48), (48, 24), (48, 48), (72, 24), (24, 72))
SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))


def picture(height, width):
    """Tiles of 36 tokens."""
    return anyres(height, width, side=6, image_size=24, pinpoints=PINPOINTS)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(size=SIZES, keep=st.integers(1, 36))
def test_every_tile_keeps_what_it_can(size, keep):
    layout = picture(*size)
    valid = [(layout.tile == tile).sum() for tile in range(layout.tiles)]
    if keep == 36:
        assert keeps_all(layout, Budget(keep, None))
        assert num_visual_tokens(layout, Budget(keep, None)) == len(layout.tile)
    else:
        assert num_visual_tokens(layout, Budget(keep, None)) == sum(min(keep, n) for n in valid)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(size=SIZES, total=st.integers(1, 300))
def test_never_more_than_total_and_exactly_total_where_there_are_so_many(size, total):
    layout = picture(*size)
    valid, stock = int((layout.tile >= 0).sum()), len(layout.tile)
    expected = total if total <= valid else stock if total >= stock else valid
    assert num_visual_tokens(layout, Budget(None, total)) == expected <= total
    if total < valid:
        kept = dict(zip(("base", "rest"), (n for _, n in candidate_groups(layout, Budget(None, total))), strict=False))
        assert kept["base"] == max(1, total * 36 // valid)


def test_shares_by_hand():
    """24 x 48 pixels: a base tile and two of 36 tokens, all valid: 108, a third of them in the base; and 6 newlines."""
    layout = picture(24, 48)
    assert (layout.tiles, len(layout.tile)) == (3, 114)
    cases = {1: [1], 2: [1, 1], 3: [1, 2], 10: [3, 7], 30: [10, 20], 107: [35, 72], 108: [36, 72], 113: [36, 72]}
    for total, expected in cases.items():
        assert [kept for _, kept in candidate_groups(layout, Budget(None, total))] == expected
        assert not keeps_all(layout, Budget(None, total))
    assert keeps_all(layout, Budget(None, 114))
    base, rest = (positions for positions, _ in candidate_groups(layout, Budget(None, 30)))
    assert base.tolist() == list(range(36))
    assert rest.tolist() == [36 + 13 * row + column for row in range(6) for column in range(12)]


def test_a_strip_that_is_nothing_but_padding_leaves_the_base_tile():
    """1 x 300 pixels on 24 x 48: no row of its two tiles survives."""
    layout = picture(1, 300)
    assert (layout.tiles, len(layout.tile)) == (3, 36)
    assert num_visual_tokens(layout, Budget(5, None)) == 5
    assert [num_visual_tokens(layout, Budget(None, total)) for total in (1, 35, 36, 40)] == [1, 35, 36, 36]


def test_videos():
    video = frames(3, side=6)
    assert [num_visual_tokens(video, Budget(keep, None)) for keep in (1, 5, 36)] == [3, 15, 108]
    assert [num_visual_tokens(video, Budget(None, total)) for total in (1, 107, 108, 500)] == [1, 107, 108, 108]
    pooled = frames(3, side=6, pooled=3)
    assert [num_visual_tokens(pooled, Budget(keep, None)) for keep in (5, 9, 20)] == [15, 27, 27]
    five = (Budget(5, None), Budget(None, 5))
    assert [num_visual_tokens(frames(3, side=6, cls=True), budget) for budget in five] == [15 + 3, 5 + 3]
    assert [num_visual_tokens(frames(3, side=6, end=True), budget) for budget in five] == [15 + 1, 5 + 1]


@pytest.mark.parametrize(
    ("keep", "total", "kind", "message"),
    [
        (None, None, ValueError, r"exactly one of keep .* and total .* is needed, got neither"),
        (3, 4, ValueError, "got keep=3 and total=4"),
        (0, None, ValueError, "keep must be an integer of at least 1, got 0"),
        (None, 0, ValueError, "total must be an integer of at least 1, got 0"),
        (None, 2.5, TypeError, "total must be an integer of at least 1, got 2.5"),
        (None, True, TypeError, "total must be an integer of at least 1, got True"),
    ],
)
def test_refusals(keep, total, kind, message):
    with pytest.raises(kind, match=message):
        budget(keep, total)


def test_numpy_integers_are_integers():
    assert budget(np.int64(3), None) == Budget(3, None)
    assert one_tile(side=2).tiles == 1
