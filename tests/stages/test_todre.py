"""ToDRE, stage 2, by hand: no code of its authors was seen."""

import numpy as np
import pytest
from stages.asking import ask, both, left, running

from vtc_core.stages import EMPTY, ToDreStage2


def seen_with(*attention, visual):
    """Of a batch: rows of attention, by queries that pick theirs; what is 0 above the diagonal is causal anyway."""
    maps = np.array(attention, "f4")
    keys = np.log(np.maximum(maps, 1e-30)).swapaxes(1, 2)[:, None]
    query = np.broadcast_to(np.eye(maps.shape[1], dtype="f4"), keys.shape)
    return running(np.tile(visual, (len(maps), 1)), query=query, keys=keys)


def rows(text_sees, picture_sees):
    """text, 2 visual tokens, text: what the last one has for the picture, what the picture has for the first one."""
    a, b = text_sees, picture_sees
    return [[1, 0, 0, 0], [b, 1 - b, 0, 0], [b, 0.25, 0.75 - b, 0], [0.5 - a, a / 2, a / 2, 0.5]]


@both
def test_both_have_to_look_away(backend):
    """a_tv is a mean over the text, of which one half stands before the picture: 0.08 is 0.16 of the last token."""
    seen = seen_with(rows(0.16, 0.09), rows(0.22, 0.09), rows(0.16, 0.11), rows(0.22, 0.11), visual=[1, 2])
    made = ask(backend, ToDreStage2(), seen, 2, layer=7)
    assert made.indices.tolist() == [[EMPTY, EMPTY], [0, 1], [0, 1], [0, 1]]
    assert [left(made, row) for row in range(4)] == [[], [0, 1], [0, 1], [0, 1]]
    always = ask(backend, ToDreStage2(tau=0.3), seen, 2, layer=7)
    assert (always.indices == EMPTY).all()
    never = ask(backend, ToDreStage2(tau=0.0), seen, 2, layer=7)
    assert (never.indices == [0, 1]).all()


@both
def test_heads_are_averaged(backend):
    one, other = seen_with(rows(0.05, 0.05), visual=[1, 2]), seen_with(rows(0.4, 0.05), visual=[1, 2])
    both = one._replace(
        query=np.concatenate([one.query, other.query], 1), keys=np.concatenate([one.keys, other.keys], 1)
    )
    assert left(ask(backend, ToDreStage2(), one, 2, layer=7)) == []
    assert left(ask(backend, ToDreStage2(), both, 2, layer=7)) == [0, 1]  # (0.05 + 0.4) / 2 / 2 = 0.1125
    assert left(ask(backend, ToDreStage2(tau=0.12), both, 2, layer=7)) == []


@both
def test_a_picture_without_text_goes(backend):
    seen = seen_with([[1, 0], [0.5, 0.5]], visual=[0, 1])
    assert left(ask(backend, ToDreStage2(), seen, 2, layer=7)) == []


def test_it_stands_at_seven_eighths():
    assert ToDreStage2().schedule(32, 576) == ((28, 576),)
    assert ToDreStage2().schedule(28, 576) == ((24, 576),)
    assert ToDreStage2().schedule(2, 5) == ((1, 5),)
    with pytest.raises(ValueError, match=r"in \[1, 0\] of a language model of 1 layers, got 0"):
        ToDreStage2().schedule(1, 5)
