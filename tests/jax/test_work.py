"""The work of the JAX encoder, counted in what JAX traces, is that of the cost model."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from vtc_bench import costs
from vtc_core.methods import VtcCls
from vtc_jax import PrunedEncoder
from vtc_jax.tower import CLIPTower, TowerConfig


def multiply_adds(jaxpr: Any) -> int:
    """Of all products of matrices in a traced program, and in the programs that it calls."""
    total = 0
    for equation in jaxpr.eqns:
        operands = [x.aval.shape for x in equation.invars if hasattr(x, "aval")]
        made = math.prod(equation.outvars[0].aval.shape)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            total += made * math.prod(operands[0][axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            total += made * math.prod(operands[1]) // operands[1][-1]  # kernel: height width in out
        total += sum(multiply_adds(inner) for inner in jaxprs_in_params(equation.params))
    return total


@pytest.mark.parametrize("layers", [1, 3, (0, 1)], ids=str)
def test_the_work_is_that_of_the_cost_model(layers):
    """Design, section 4: every product of matrices, counted in what JAX traces, against the formula."""
    config = TowerConfig(32, 64, 6, 4, image_size=24, patch_size=4)
    tower = nnx.eval_shape(lambda: CLIPTower(config, rngs=nnx.Rngs(0)))
    g, pixel_values = costs.geometry_of(config), jax.ShapeDtypeStruct((2, 3, 24, 24), jnp.float32)
    traced = jax.make_jaxpr(lambda tower, x: tower(x))(tower, pixel_values)
    assert multiply_adds(traced.jaxpr) == 2 * costs.whole(g)
    encoder = nnx.eval_shape(lambda: PrunedEncoder(CLIPTower(config, rngs=nnx.Rngs(0)), 5, VtcCls(layers)))
    traced = jax.make_jaxpr(lambda encoder, x: encoder(x))(encoder, pixel_values)
    assert multiply_adds(traced.jaxpr) == 2 * costs.pruned(g, 5, VtcCls(layers))
