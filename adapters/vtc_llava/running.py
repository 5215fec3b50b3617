"""What a stage asks to see of one row between two layers: queries and keys as the layers make them, hidden states."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from vtc_core.stages import Running, Stage
from vtc_torch import wrapping

from .ragged import Row

Heads = Float[Tensor, "1 heads some head_dim"]
Rotation = Sequence[Float[Tensor, "length head_dim"]]
ATTENDING = ("query", "keys", "plain_query", "plain_keys")


class Noted(NamedTuple):
    """Of a layer that ran: what its projections made of all tokens of a batch, before RoPE."""

    query: Float[Tensor, "*batch length query_dim"]
    keys: Float[Tensor, "*batch length key_dim"]


def attends(stage: Stage) -> bool:
    """Whether it asks for queries or keys."""
    return any(name in stage.needs for name in ATTENDING)


@contextmanager
def noting(attention: Any, noted: list[Noted]) -> Iterator[None]:
    """While a layer is called: its queries and keys, adapted or sharded as it is; nothing is computed twice."""
    made: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        return lambda module, inputs, output: made.__setitem__(name, output.detach())

    hooks = [getattr(attention, name).register_forward_hook(note(name)) for name in ("q_proj", "k_proj")]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    noted.append(Noted(made["q_proj"], made["k_proj"]))


def seen(
    stage: Stage,
    row: Row,
    hidden: Float[Tensor, "length dim"],
    prompt: tuple[Float[Tensor, "entered dim"], Row],
    rotation: Rotation,
    heads: Any,
    norm: Callable[[Tensor], Tensor],
) -> Running:
    """Of one row, before `stage`.

    Args:
        row, hidden: as they enter the layer.
        prompt: embeddings that entered the language model, and their row.
        rotation: cos and sin of the row's positions.
        heads: `Noted` of this row in the layer before; or the layer to come, for a stage that looks `ahead`.
        norm: the language model's final one.
    """
    found: dict[str, Any] = {"visual": row.visual[None], "places": row.fields.places[row.visual][None]}
    if attends(stage):
        found |= _attending(row, hidden, rotation, heads, _asking(stage, row))
    if "hidden" in stage.needs:
        found["hidden"] = hidden[None]
    if "normed" in stage.needs:
        found["normed"] = norm(hidden[None])
    if "embeddings" in stage.needs:
        found |= {"embeddings": prompt[0][None], "entered": prompt[1].visual[None]}
    return Running(**found)


def _attending(
    row: Row, hidden: Float[Tensor, "length dim"], rotation: Rotation, heads: Any, asking: Int[Tensor, "queries"]
) -> dict[str, Heads]:
    def project(hidden: Tensor) -> tuple[Tensor, Tensor]:
        normed = heads.input_layernorm(hidden)
        return heads.self_attn.q_proj(normed[:, asking]), heads.self_attn.k_proj(normed)

    if isinstance(heads, Noted):
        query, keys = heads.query[None, asking], heads.keys[None]
    else:
        query, keys = wrapping.as_called([heads], project, hidden[None])
    cos, sin = rotation
    query, keys = (x.unflatten(-1, (-1, cos.shape[-1])).transpose(1, 2) for x in (query, keys))
    return {
        "query": _rotated(query, cos[asking], sin[asking]),
        "keys": _rotated(keys, cos, sin),
        "plain_query": query,
        "plain_keys": keys,
    }


def _rotated(x: Heads, cos: Float[Tensor, "some head_dim"], sin: Float[Tensor, "some head_dim"]) -> Heads:
    return apply_rotary_pos_emb(x, x, cos[None], sin[None])[0]


def _asking(stage: Stage, row: Row) -> Int[Tensor, "queries"]:
    """Which tokens of the row `Stage.rows` are."""
    every = torch.arange(len(row.at), device=row.at.device)
    if stage.rows == "visual":
        return row.visual
    return {"all": every, "last": every[-1:], "text": every[~row.fields.visual]}[stage.rows]
