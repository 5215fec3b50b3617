"""Clusters around density peaks (DPC-kNN), as token clustering uses them."""

from types import ModuleType
from typing import Any

from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from vtc_core.methods.parts import arange, one_hot, ranked, symmetric, wide


def spaces(x: Float[Any, "batch some dim"]) -> Float[Any, "batch some some"]:
    """D_ij = |x_i - x_j| / sqrt(dim), in float32 at least."""
    xp = array_namespace(x)
    x = wide(x)
    x = x - xp.mean(x, axis=1, keepdims=True)  # hidden states lie far from 0: less is lost in the products
    products = xp.matmul(x, xp.matrix_transpose(x))
    squares = xp.sum(x * x, axis=2)
    squares = symmetric(squares[:, :, None] + squares[:, None, :] - 2 * products) / x.shape[2]
    every = arange(x.shape[1], x)
    return xp.where((every[:, None] == every[None, :]) | (squares < 0), 0.0, squares) ** 0.5


def densities(space: Float[Any, "batch some some"], nearest: int) -> Float[Any, "batch some"]:
    """rho_i = exp(-mean of the `nearest` smallest D_ij^2), that of i with itself included."""
    xp = array_namespace(space)
    return xp.exp(-xp.mean(xp.sort(space, axis=2)[:, :, :nearest] ** 2, axis=2))


def density_peaks(
    v: ModuleType, space: Float[Any, "batch some some"], rho: Float[Any, "batch some"], clusters: int
) -> tuple[Int[Any, "batch clusters"], Bool[Any, "batch clusters some"]]:
    """Centres, highest rho * delta first, and who is in which cluster: everyone in that of the nearest centre.

    delta_i is the distance to the nearest one of higher density; for those of the highest, the largest of all.
    """
    xp = array_namespace(space)
    denser = rho[:, None, :] > rho[:, :, None]
    delta = xp.min(xp.where(denser, space, xp.max(space, axis=(1, 2), keepdims=True)), axis=2)
    centres = ranked(rho * delta)[:, :clusters]
    near = xp.where(one_hot(centres, space.shape[1]), -1.0, v.gather(space, centres))
    return centres, xp.argmin(near, axis=1)[:, None, :] == arange(clusters, centres)[None, :, None]
