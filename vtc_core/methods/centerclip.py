"""CenterCLIP: the medoids of clusters of tokens."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Float, Int

from vtc_core import arguments

from .greedy import farthest
from .method import Choice, Method, Seen
from .parts import arange, cosine, one_hot, symmetric, wide


@dataclass(frozen=True)
class CenterClip(Method):
    """The medoids of `keep` clusters (CenterCLIP, SIGIR 2022, section 3.2), as for segments of videos.

        start  the token with the longest feature, then always the farthest from those before (KKZ)
        round  every token to its nearest medoid; the new medoid is the member with the smallest sum of distances
        out    medoids, in raster order

    Deviations: `rounds` rounds instead of until nothing moves, which is the same after 12 in all public cases; ties go
    to the lower index (a cluster of two is always one); a medoid stays in its own cluster, so that equal tokens empty
    none; on the features that are fed, not inside the encoder.
    """

    name: ClassVar[str] = "centerclip"
    looks_at: ClassVar[str] = "clusters of features"
    source: ClassVar[str] = "arXiv 2205.00823"
    needs: ClassVar[tuple[str, ...]] = ("features",)
    whole_picture: ClassVar[bool] = True

    distance: str = "euclidean"
    rounds: int = 12

    def __post_init__(self) -> None:
        arguments.one_of("distance", self.distance, ("euclidean", "cosine"))
        arguments.count("rounds", self.rounds)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.features)
        features = wide(seen.features)
        squares = xp.sum(features * features, axis=2)
        if self.distance == "cosine":
            distance = 1 - symmetric(cosine(features, features))
        else:
            products = symmetric(xp.matmul(features, xp.matrix_transpose(features)))
            apart = squares[:, :, None] + squares[:, None, :] - 2 * products
            distance = xp.sqrt(xp.where(apart > 0, apart, 0.0))
        number = arange(features.shape[1], features)
        itself = number[:, None] == number[None, :]
        # Exactly 0, or rounding decides a cluster of two; and where there are NaN, or they are nearest to every medoid.
        distance = xp.where(itself | (distance != distance), 0.0, distance)
        start = farthest(v, distance, squares, keep)
        return Choice(xp.sort(medoids(v, distance, start, self.rounds), axis=1), xp.sqrt(squares))


def medoids(
    v: ModuleType, distance: Float[Any, "batch tokens tokens"], start: Int[Any, "batch keep"], rounds: int
) -> Int[Any, "batch keep"]:
    """In the order of `start`, after so many rounds."""
    xp = array_namespace(distance)

    def step(i: Any, medoid: Int[Any, "batch keep"]) -> tuple[Int[Any, "batch keep"]]:
        member = xp.astype(members(v, distance, medoid), distance.dtype)  # batch keep tokens
        spread = xp.matmul(member, distance)  # of every token the distances to a cluster's members
        return (xp.argmin(xp.where(member > 0, spread, xp.inf), axis=2),)

    return v.scan(step, (start,), rounds)[0]


def members(v: ModuleType, distance: Float[Any, "batch tokens tokens"], medoid: Int[Any, "batch keep"]) -> Any:
    """Which tokens are nearest to each medoid, (batch keep tokens) of bool: a medoid always to itself."""
    xp = array_namespace(distance)
    away = xp.where(one_hot(medoid, distance.shape[1]), -1.0, v.gather(distance, medoid))
    return xp.argmin(away, axis=1)[:, None, :] == arange(medoid.shape[1], medoid)[None, :, None]
