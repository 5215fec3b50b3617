"""The JAX encoder sees what the torch encoder sees of the same tower, and methods make the same of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from jax.extend.core import jaxprs_in_params
from small_models import make_tower, pixels

import vtc_torch
from vtc_core.methods import METHODS, Choice, Seen
from vtc_jax import PrunedEncoder, exporting
from vtc_jax import received_attention as jax_received

from ..torch.eager import FEATURE_TOLERANCE
from ..torch.savers import save_llava
from ..torch.seeing import FIELDS, Sees

METHODS_OF = {  # method -> what it stands for
    "fastervlm": "chooses before the last useful layer is finished",
    "received": "asks all queries",
    "norm": "sees features",
    "visionzip:contextual=3": "merges, and feeds CLS",
    "divprune": "is greedy, on projected tokens",
    "aim": "merges projected tokens",
    "tome": "merges step by step",
    "prumerge": "looks at the layer after the features",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A LLaVA with a tower of 5 layers of 4 heads, 36 patches."""
    folder = tmp_path_factory.mktemp("llava")
    save_llava(make_tower(), folder)
    return folder


def both(folder, *settings, **more):
    kwargs = {"project": True, **more}
    theirs = vtc_torch.PrunedEncoder.from_pretrained(str(folder), *settings, **kwargs)
    return theirs, PrunedEncoder.from_pretrained(folder, *settings, **kwargs)


def array(x: torch.Tensor) -> jax.Array:
    return jnp.asarray(x.numpy())


@pytest.mark.parametrize("layers", [(0, 2), (1, 3), (2, 4)], ids=str)  # layer 3 makes hidden state -2
def test_every_field_of_seen_is_that_of_torch(folder, layers):
    method = Sees(tuple(FIELDS), layers, threshold=1.1)
    theirs, ours = both(folder, 7, method)
    with torch.inference_mode():
        expected = theirs.look(pixels(theirs.tower, 3)).seen

    def look(pixel_values) -> Seen:
        return ours.look(pixel_values).seen

    for call in (look, jax.jit(look)):
        seen: Seen = call(array(pixels(theirs.tower, 3)))
        for name in (*FIELDS, "places", "tile"):
            np.testing.assert_allclose(
                getattr(seen, name), getattr(expected, name), rtol=1e-4, atol=FEATURE_TOLERANCE, err_msg=name
            )


def test_what_is_not_asked_for_is_not_seen(folder):
    seen = PrunedEncoder.from_pretrained(folder, 7, "random").look(jnp.zeros((2, 3, 24, 24))).seen
    assert [name for name in FIELDS if getattr(seen, name) is not None] == []


@pytest.mark.parametrize("method", METHODS_OF)
def test_a_method_chooses_and_feeds_what_it_does_in_torch(folder, method):
    """The features of LLaVA's tower or, of some, after its projector."""
    theirs, ours = both(folder, 9, method, project=method in ("divprune", "aim", "visionzip:contextual=3"))
    with torch.inference_mode():
        expected = theirs(pixels(theirs.tower, 3))
    for call in (ours, nnx.jit(ours)):
        got = call(array(pixels(theirs.tower, 3)))
        np.testing.assert_array_equal(got.indices, expected.indices)
        np.testing.assert_allclose(got.features, expected.features, rtol=0, atol=FEATURE_TOLERANCE)
        np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["visionzip:contextual=3", "divprune", "received"])
def test_an_exported_method_does_what_the_encoder_does(folder, method, tmp_path):
    encoder = PrunedEncoder.from_pretrained(folder, 9, method, project=True)
    encoder.export(tmp_path / "encoder", platforms=("cpu",))
    read = jax.export.deserialize(bytearray((tmp_path / "encoder").read_bytes()))
    pixel_values = array(pixels(make_tower(), 5))
    exporting.compare(read.call(pixel_values), nnx.jit(encoder)(pixel_values))


@pytest.mark.parametrize(
    ("name", "layers", "queries"),
    [
        ("cls_attention", (1, 2), [37, 37, 37, 7]),
        ("features", (), [37, 37, 37, 37]),
        ("keys", (2, 4), [37, 37, 37, 37]),
    ],
)
def test_the_last_useful_layer_is_whole_only_for_those_who_see_it(folder, name, layers, queries):
    lengths = []

    def recording(query, keys, values, *, scale):
        lengths.append(query.shape[1])
        return jax.nn.dot_product_attention(query, keys, values, scale=scale)

    encoder = PrunedEncoder.from_pretrained(folder, 7, Sees((name,), layers), attention=recording)
    encoder.look(jnp.zeros((2, 3, 24, 24))).finish(jnp.zeros((2, 7), int))
    assert lengths == queries


def test_one_layer_more_is_read_for_methods_that_look_beyond_the_features(folder):
    for layers, count in (((), 4), ((4,), 5)):
        assert len(PrunedEncoder.from_pretrained(folder, 7, Sees(("keys",), layers)).tower.layers) == count
    tower = PrunedEncoder.from_pretrained(folder, 7).tower
    with pytest.raises(ValueError, match="tower must hold its first 5 layers, which are used here, got 4"):
        PrunedEncoder(tower, 7, Sees(("keys",), (4,)))


def test_a_choice_of_the_callers_own(folder):
    """In any order, a token twice, CLS as -1."""
    theirs, ours = both(folder, 7, "vtc-cls")
    indices = np.array([[30, -1, 2, 2], [0, 35, -1, 7]])

    with torch.inference_mode():
        expected = theirs(pixels(theirs.tower), lambda seen: Choice(torch.tensor(indices), seen.cls_attention[..., 0]))
    got = ours(array(pixels(theirs.tower)), lambda seen: Choice(jnp.asarray(indices), seen.cls_attention[..., 0]))
    np.testing.assert_array_equal(got.indices, indices)
    np.testing.assert_allclose(got.features, expected.features, rtol=0, atol=FEATURE_TOLERANCE)


@pytest.mark.parametrize("block", [1, 7, 64])
@pytest.mark.parametrize("weighted", [False, True])
def test_received_is_that_of_torch_in_blocks_of_any_size(block, weighted):
    rng = np.random.default_rng(0)
    query, keys = (rng.standard_normal((2, 3, n, 4)).astype(np.float32) for n in (20, 21))
    weights = rng.random((2, 20)).astype(np.float32) if weighted else None
    expected = vtc_torch.received_attention(
        torch.tensor(query), torch.tensor(keys), 0.5, weights=None if weights is None else torch.tensor(weights)
    )
    got = jax_received(
        jnp.asarray(query), jnp.asarray(keys), 0.5, block, None if weights is None else jnp.asarray(weights)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def shapes(jaxpr):
    for equation in jaxpr.eqns:
        yield from (tuple(made.aval.shape) for made in equation.outvars)
        for inner in jaxprs_in_params(equation.params):
            yield from shapes(inner)


def test_received_attention_makes_no_map():
    query = jax.ShapeDtypeStruct((1, 2, 577, 4), jnp.float32)
    made = set(shapes(jax.make_jaxpr(lambda q, k: jax_received(q, k, 0.5))(query, query).jaxpr))
    assert (1, 2, 64, 577) in made  # so that maps would be found
    assert not [shape for shape in made if np.prod(shape) >= 2 * 577 * 577]


def test_refusals(folder):
    with pytest.raises(ValueError, match="method 'sees' looks at projected tokens: a projector is needed"):
        PrunedEncoder.from_pretrained(folder, 7, Sees(("projected",)))
    with pytest.raises(ValueError, match=f"method must be one of {', '.join(METHODS)}, got 'best'"):
        PrunedEncoder.from_pretrained(folder, 7, "best")
