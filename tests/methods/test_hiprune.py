"""HiPrune against its authors' code, and where it is meant to differ."""

import numpy as np
import pytest
from methods.vectors import ATOL, RTOL, cases, choose, every_backend, seen_of

from vtc_core.methods import HiPrune


def received(query, keys, scale):
    """batch heads length head_dim, CLS first -> batch tokens; by hand, in float64."""
    logits = scale * np.einsum("bhid,bhjd->bhij", query.astype(float), keys.astype(float))
    attention = np.exp(logits - logits.max(-1, keepdims=True))
    return (attention / attention.sum(-1, keepdims=True)).mean((1, 2))[:, 1:].astype(np.float32)


def seen_in(case):
    given, scale = case.inputs, case.params["scale"]
    layers = [received(given[f"{layer}_query"], given[f"{layer}_keys"], scale) for layer in ("object", "deep")]
    for layer, name in zip(layers, ("object_scores", "deep_scores"), strict=True):
        np.testing.assert_allclose(layer, case.outputs[name], RTOL, ATOL)
    return seen_of(case.params["side"], *layers[0].shape, received_attention=np.stack(layers, -1))


@every_backend
@pytest.mark.parametrize("case", cases("hiprune"))
def test_equals_the_authors_code(backend, case):
    method = HiPrune(alpha=case.params["alpha"])
    choice = choose(backend, method, seen_in(case), case.params["keep"])
    np.testing.assert_array_equal(choice.indices, case.outputs["indices"])


def seen_by_hand(anchor, places, tile):
    """The anchor is alone in the object layer; the deep layer prefers the last tokens."""
    tokens = len(places)
    layers = np.stack([np.arange(tokens) == anchor, np.arange(tokens) / tokens], -1).astype(np.float32)
    return seen_of(np.array(places)[None], 1, tokens, received_attention=layers[None])._replace(tile=np.array([tile]))


@every_backend
def test_a_pool_larger_than_keep_is_cut_to_what_the_last_layer_attends_to(backend):
    """A deviation: there it is an error. The pool of token 5 on a grid of 4 is 1, 4, 5, 6 and 9."""
    seen = seen_by_hand(5, [divmod(i, 4) for i in range(16)], [0] * 16)
    assert choose(backend, HiPrune(alpha=1.0), seen, 3).indices.tolist() == [[5, 6, 9]]
    assert choose(backend, HiPrune(alpha=1.0), seen, 6).indices.tolist() == [[1, 4, 5, 6, 9, 15]]


@every_backend
def test_absent_tokens_and_those_of_other_tiles_are_no_neighbours(backend):
    """Tile 1 is rows 1 and 2 of columns 0 to 2, without (1, 2); tile 2 is column 3 beside it."""
    places = [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (1, 3), (2, 3), (3, 3)]
    seen = seen_by_hand(1, places, [1, 1, 1, 1, 1, 2, 2, 2])
    # (1, 1) has (1, 0) before it, (1, 2) is absent, (2, 1) below, and above is clamped to the tile's first, (1, 0).
    assert choose(backend, HiPrune(alpha=1.0), seen, 4).indices.tolist() == [[0, 1, 3, 7]]
    # (2, 2): (2, 1) before, (2, 3) is another tile's, (1, 2) is absent, below is clamped to itself.
    seen = seen_by_hand(4, places, [1, 1, 1, 1, 1, 2, 2, 2])
    assert choose(backend, HiPrune(alpha=1.0), seen, 3).indices.tolist() == [[3, 4, 7]]


@pytest.mark.parametrize(
    ("object_layer", "depth", "feature_layer", "layers"),
    [(None, 24, -2, (8, 22)), (None, 2, -2, (0,)), (9, 24, -2, (9, 22)), (-3, 24, -1, (21, 23)), (None, 1, -1, (0,))],
)
def test_layers(object_layer, depth, feature_layer, layers):
    assert HiPrune(object_layer=object_layer).layers_seen(depth, feature_layer) == layers


def test_wrong_parameters_are_refused_by_name():
    with pytest.raises(ValueError, match=r"alpha must be a number in \[0, 1\], got 2"):
        HiPrune(alpha=2)
    with pytest.raises(TypeError, match="object_layer"):
        HiPrune(object_layer=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="layer 23 comes after the feature layer"):
        HiPrune(object_layer=23).layers_seen(24, -2)
