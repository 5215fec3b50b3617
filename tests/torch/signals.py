"""What layers give to the fields of `Seen`: a stock tower in float64, by the words of `Seen`, and no part of vtc."""

from typing import Any

import numpy as np

from .eager import Eager


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def projections(tower: Any, eager: Eager, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys (batch heads length head_dim) of a layer, of its stock input, in float64."""
    attention = tower.encoder.layers[number].self_attn
    hidden = tower.encoder.layers[number].layer_norm1(eager.states[number]).detach().double().numpy()

    def of(linear: Any) -> np.ndarray:
        made = hidden @ linear.weight.detach().double().numpy().T + linear.bias.detach().double().numpy()
        return made.reshape(*made.shape[:2], attention.num_heads, -1).swapaxes(1, 2)

    return of(attention.q_proj), of(attention.k_proj)


def expected_signal(name: str, tower: Any, eager: Eager, number: int, threshold: float) -> np.ndarray:
    """(batch tokens) of one layer, from the words of `Seen`."""
    first, of_map = eager.first, eager.maps[number].astype(np.float64).mean(1)  # batch asking answering
    query, keys = projections(tower, eager, number)
    if name == "cls_attention":
        return of_map[:, 0, 1:]
    if name == "received_attention":
        return of_map[:, :, first:].mean(1)
    if name == "cls_logits":
        return (np.einsum("bhd,bhnd->bhn", query[:, :, 0], keys) / keys.shape[-1] ** 0.5).mean(1)[:, 1:]
    if name == "joint_attention":
        dim = keys.shape[1] * keys.shape[-1]
        return softmax(np.einsum("bhd,bhnd->bn", query[:, :, 0], keys) / dim**0.5)[:, 1:]
    of_patches = of_map[:, first:, first:]
    rows = []
    for one in of_patches:
        got = one.mean(0)
        asking = [i for i in range(len(got)) if got[i] > threshold * got.mean()] or [int(got.argmax())]
        rows.append(one[asking].mean(0))
    return np.stack(rows)
