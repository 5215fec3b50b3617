"""FlowCut step by step on a stock tower, of one picture: no part of vtc is used."""

import numpy as np
import torch

from .signals import softmax


@torch.no_grad()
def by_hand(tower, pixel_values, keep, feature_layer=-2):
    """Of one picture: kept indices, their features, counts after each layer. No part of vtc is used."""
    hidden = tower.pre_layrnorm(tower.embeddings(pixel_values))
    last = feature_layer % (len(tower.encoder.layers) + 1) - 1
    alive, running, counts = np.arange(hidden.shape[1] - 1), None, []
    for number, layer in enumerate(tower.encoder.layers[: last + 1]):
        attention, normed = layer.self_attn, layer.layer_norm1(hidden)
        q, k, v = (
            getattr(attention, name)(normed)[0].unflatten(-1, (attention.num_heads, -1)).double().numpy()
            for name in ("q_proj", "k_proj", "v_proj")
        )  # length heads head_dim
        hidden, to_go = layer(hidden, None), max(last - 1 - number, 0)
        if len(alive) > keep:
            c, w = (
                softmax(np.einsum("hd,nhd->hn", a[0], b) * scale).mean(0)[1:]
                for a, b, scale in ((q, k, attention.head_dim**-0.5), (v, v, 1))
            )
            s = (c / c.sum() + w / w.sum()) * np.abs(v[1:].mean(1)).sum(1)
            running = s if running is None else (running + s) / 2
            if to_go % 2 == 0:
                p, n = c / c.sum(), len(alive)
                h = -(p * np.log(p)).sum() / np.log(n)
                r = round((n - keep) / to_go**0.5 * (1 - h**2)) if to_go else n - keep
                left = np.sort(np.argsort(-running, kind="stable")[: max(n - r, keep)])
                alive, running = alive[left], running[left]
                hidden = hidden[:, np.concatenate([[0], left + 1])]
        counts.append(len(alive))
    return alive, hidden[0, 1:], counts, running
