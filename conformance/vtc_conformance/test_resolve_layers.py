"""S6: which layers are ensembled."""

import numpy as np
import pytest

from . import compare


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((3, 24), (20, 21, 22)),  # the paper's K on LLaVA-1.5: layer 23 feeds nobody
        ((1, 24), (22,)),  # FasterVLM
        ((23, 24), tuple(range(23))),
        ((2, 24, -1), (22, 23)),
        ((2, 24, 23), (21, 22)),  # hidden_states[23] is what layer 22 makes
        ((2, 24, 24), (22, 23)),
        ((1, 24, 1), (0,)),
        ((1, 24, -24), (0,)),
        (((-2, -4), 24), (20, 22)),  # as attentions[-2], attentions[-4]
        (((-1,), 24, -1), (23,)),
        (([5, 0], 7), (0, 5)),
        (((0, 22), 24), (0, 22)),
        ((range(3), 24), (0, 1, 2)),
        ((np.int64(2), 7), (4, 5)),
        (((np.int32(1),), 2, -1), (1,)),
        ((1, 1, -1), (0,)),
    ],
)
def test_s6_layers_are_resolved(target, arguments, expected):
    target.check(compare.same_tuple, target.resolve_layers(*arguments), expected)
