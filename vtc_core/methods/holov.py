"""HoloV: a quota of the budget for every chunk of the raster."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from array_api_compat import array_namespace
from jaxtyping import Float, Int

from vtc_core import arguments
from vtc_core.spec import resolve_layers

from .method import Choice, Method, Seen
from .parts import arange, first, ranks, wide

_TINY = 1e-6  # epsilon of the authors' code


@dataclass(frozen=True)
class HoloV(Method):
    """In every chunk of consecutive tokens those to which CLS attends most, as many as its quota (NeurIPS 2025).

        a_j     mean_h softmax(q_cls . k / sqrt(d))[h, j];  S_ij cosine of projected tokens of a chunk of m, S_ii = 0
        v_i     sum_j (S_ij - mu_i)^2 / (m - 1),  mu_i = sum_j S_ij / (m - 1)
        w       mean_i of 1000 a_i + alpha v_i mean|1000 a| / mean|v|;  w = a of a chunk of one
        quota   floor(keep w / sum w); what is missing goes one each to the chunks with the largest w

    As coded: v is scaled by its own mean before a mean is taken, so that w is 1.09 times 1000 mean(a), whatever v is.
    The first tokens % chunks chunks have one token more. Fewer tokens than chunks: one a chunk.

    Deviations: a quota larger than its chunk goes to the other tokens with the highest a (there zero vectors are fed);
    raster order (there chunk by chunk, the best of a chunk first).
    """

    name: ClassVar[str] = "holov"
    looks_at: ClassVar[str] = "attention of CLS, by strips"
    source: ClassVar[str] = "arXiv 2510.02912"
    needs: ClassVar[tuple[str, ...]] = ("cls_attention", "projected")

    chunks: int = 16
    alpha: int | float = 0.09

    def __post_init__(self) -> None:
        arguments.count("chunks", self.chunks)
        arguments.number("alpha", self.alpha, 0.0, float("inf"))

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        return resolve_layers(1, depth, feature_layer)

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.projected)
        scores = wide(seen.cls_attention[:, :, -1])
        batch, tokens = scores.shape
        wanted = quotas(chunk_scores(scores, seen.projected, self.chunks, self.alpha), keep)
        member, starts, sizes = _chunks(scores, self.chunks)
        there = arange(member.shape[1], member)[None, :] < sizes[:, None]
        inside = xp.reshape(xp.take(scores, xp.reshape(member, (-1,)), axis=1), (batch, *member.shape))
        order = xp.astype(ranks(xp.where(there[None, :, :], inside, -xp.inf)), wanted.dtype)
        places = member.shape[0] * member.shape[1]  # of all chunks; a batch of no pictures allows no -1
        taken = xp.reshape(order < wanted[:, :, None], (batch, places))
        token = arange(tokens, member)
        chunk = xp.sum(xp.where(token[:, None] >= starts[None, :], 1, 0), axis=1) - 1
        place = chunk * member.shape[1] + token - xp.take(starts, chunk, axis=0)
        return Choice(first(v, xp.take(taken, place, axis=1), scores, keep)[0], scores)


def chunk_scores(
    attention: Float[Any, "batch tokens"], projected: Float[Any, "batch tokens dim"], chunks: int, alpha: float
) -> Float[Any, "batch chunks"]:
    """w of the formula."""
    xp = array_namespace(projected)
    member, _, sizes = _chunks(attention, chunks)
    shape = (attention.shape[0], *member.shape)
    there = xp.astype(arange(shape[2], member)[None, :] < sizes[:, None], attention.dtype)  # chunks places
    size = xp.astype(sizes, attention.dtype)
    others = xp.where(size > 1, size - 1, 1.0)[:, None]

    features = wide(projected)
    unit = features / (xp.sqrt(xp.sum(features * features, axis=2, keepdims=True)) + _TINY)
    flat = xp.reshape(member, (-1,))
    unit = xp.reshape(xp.take(unit, flat, axis=1), (*shape, projected.shape[2]))
    itself = arange(shape[2], member)[:, None] == arange(shape[2], member)[None, :]
    pair = there[:, :, None] * there[:, None, :]  # chunks places places
    alike = xp.where(itself, 0.0, xp.matmul(unit, xp.matrix_transpose(unit))) * pair
    mean = xp.sum(alike, axis=3, keepdims=True) / others[:, :, None]
    variance = xp.sum((alike - mean) ** 2 * pair, axis=3) / others  # over all of the chunk, itself included

    a = xp.reshape(xp.take(attention, flat, axis=1), shape) * there
    scale = xp.sum(xp.abs(1000 * a), axis=2) / (xp.sum(variance, axis=2) + _TINY * size)
    total = xp.sum(1000 * a + alpha * variance * scale[:, :, None] * there, axis=2)
    return xp.where(size > 1, total / size, xp.sum(a, axis=2))


def quotas(scores: Float[Any, "batch chunks"], keep: Any) -> Float[Any, "batch chunks"]:
    """The numbers of tokens that chunks are given, which may be more than they have."""
    xp = array_namespace(scores)
    share = scores / (xp.sum(scores, axis=1, keepdims=True) + _TINY)
    given = xp.floor(share * keep)
    missing = keep - xp.sum(given, axis=1, keepdims=True)
    return given + xp.astype(xp.astype(ranks(share), given.dtype) < missing, given.dtype)


def _chunks(like: Float[Any, "batch tokens"], chunks: int) -> tuple[Int[Any, "chunks places"], Any, Any]:
    """Tokens of chunks, with repetitions where a chunk has fewer than places; where chunks start; their sizes."""
    xp, tokens = array_namespace(like), like.shape[1]
    chunks = min(chunks, tokens)
    number = arange(chunks, like)
    small, larger = tokens // chunks, tokens % chunks
    starts = number * small + xp.where(number < larger, number, larger)
    sizes = small + xp.where(number < larger, 1, 0)
    places = arange((tokens + chunks - 1) // chunks, like)[None, :]
    return starts[:, None] + xp.where(places < sizes[:, None], places, 0), starts, sizes
