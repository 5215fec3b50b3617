"""PACT: important tokens by one mean query, and a cover of their dense places."""

from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from array_api_compat import array_namespace

from vtc_core import arguments
from vtc_core.methods import Choice
from vtc_core.methods.pact import apart, dense_cover, density, means_of_near
from vtc_core.methods.parts import arange, at, best, first, mask, wide

from .attention import logits, softmax
from .budgets import falling
from .ends import filled
from .stage import Running, Stage


@dataclass(frozen=True)
class Pact(Stage):
    """Centres of dense places among the important visual tokens, each the mean of what is near it (PACT, CVPR 2025).

        s_j      mean_h softmax(mean_i q_i . k / sqrt(d))[h, j] * |x_j|,  before RoPE, i and k up to the last visual one
        D_ij     1 - cos of keys after RoPE;  rho_i = sum_j exp(-(D_ij / 2)^2) over the floor(share * N) highest s_j
        centres  of those, by falling rho, unless an earlier centre is within `cutoff` (DBDPC)
        left     means of the tokens whose nearest centre is within `recover` * cutoff, in the centres' places

    All of the layer after the cut. Positions stay. Later layers add the log of a mean's size to its attention logits.
    There are as many centres as the picture needs, floor(share * N) at most.

    Deviations: at least 1 survivor (there a share of less than one token leaves N - 1). Sizes are not rounded to
    float16. Tokens of every prompt of a batch are clustered on their own.
    """

    name: ClassVar[str] = "pact"
    looks_at: ClassVar[str] = "one mean query; dense keys"
    source: ClassVar[str] = "arXiv 2504.08966"
    needs: ClassVar[tuple[str, ...]] = ("plain_query", "plain_keys", "keys", "hidden")
    rows: ClassVar[str] = "all"
    ahead: ClassVar[bool] = True
    weighs: ClassVar[bool] = True
    merges: ClassVar[bool] = True
    adaptive: ClassVar[bool] = True

    layer: int = 4
    share: int | float = 0.55
    cutoff: int | float = 0.21
    recover: int | float = 1.5

    def __post_init__(self) -> None:
        arguments.count("layer", self.layer)
        arguments.number("share", self.share, 0.0, 1.0)
        arguments.number("cutoff", self.cutoff, 0.0, 2.0)
        arguments.number("recover", self.recover, 1.0, float("inf"))

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        return falling((self.layer,), [self.survivors(tokens)], depth, tokens)

    def survivors(self, tokens: int) -> int:
        return max(1, int(self.share * tokens))

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        xp, (batch, tokens) = array_namespace(seen.hidden), seen.visual.shape
        kv_heads, length, size = seen.keys.shape[1:]
        among = arange(length, seen.visual)[None, :] <= seen.visual[:, -1:]
        query = wide(seen.plain_query)
        number = xp.astype(seen.visual[:, -1] + 1, query.dtype)[:, None, None, None]
        query = xp.sum(xp.where(among[:, None, :, None], query, 0.0), axis=2, keepdims=True) / number
        row = softmax(logits(query, seen.plain_keys, scale)[:, :, 0], among[:, None, :])
        hidden = v.gather(wide(seen.hidden), seen.visual)
        scores = at(v, xp.mean(row, axis=1), seen.visual) * xp.sqrt(xp.sum(hidden * hidden, axis=2))
        survive = mask(best(v, scores, min(keep, self.survivors(tokens))), tokens)
        keys = xp.reshape(xp.permute_dims(seen.keys, (0, 2, 1, 3)), (batch, length, kv_heads * size))
        distance = apart(v.gather(keys, seen.visual))
        rho = density(distance, survive)
        centre = dense_cover(v, distance, rho, survive, self.cutoff)
        indices, _ = first(v, centre, rho, keep)
        indices = filled(v, indices, centre)
        return Choice(indices, scores, means_of_near(v, distance, indices, self.recover * self.cutoff))
