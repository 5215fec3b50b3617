"""Embeddings that a server should survive: kinds of requests of `hostile.py`."""

import random
from typing import Any

import numpy as np
import torch
from bodies import WIDTH, content, embeddings, encoded, rows_of


def not_finite(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    rows = rows_of(lots, lots.randint(1, 40))
    at = slice(None) if lots.random() < 0.3 else lots.randrange(rows.size)
    rows.reshape(-1)[at] = lots.choice([np.nan, np.inf, -np.inf])
    if lots.random() < 0.2:
        return content(embeddings(rows.astype(np.float64) * 1e300)), {}  # too large for float32
    if lots.random() < 0.2:
        return content(embeddings(torch.from_numpy(rows).bfloat16())), {}
    return content(embeddings(rows_of(lots, 3)), embeddings(rows)), {}


def misfit(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    shape = lots.choice([(0, WIDTH), (4, 0), (4, 96), (4, 127), (4, 129), (WIDTH,), (), (0,), (1, 2, 3, WIDTH), (4, 1)])
    return content(embeddings(np.ones(shape, np.float32))), {}


def no_floats(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    kind = lots.choice([np.int64, np.int8, np.uint8, np.bool_, np.complex64, np.complex128])
    return content(embeddings(np.ones((4, WIDTH), kind))), {}


def odd_pickle(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    one = torch.ones(4, WIDTH)
    odd = lots.choice(
        [
            lambda: [one],
            lambda: {"image_embeds": one},
            lambda: None,
            lambda: "text",
            lambda: torch.empty(4, WIDTH, device="meta"),
            lambda: torch.sparse_coo_tensor(torch.tensor([[0], [0]]), torch.tensor([1.0]), (2**20, 2**20)),
            lambda: torch.quantize_per_tensor(one, 0.1, 0, torch.quint8),
            lambda: torch.nested.nested_tensor([one, one[:2]]),
            lambda: one.to(torch.float8_e4m3fn),
        ]
    )
    return content(embeddings(odd())), {}


def odd_array(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    odd = lots.choice(
        [
            np.full((4, WIDTH), "x"),
            np.ones((4, WIDTH), np.uint16).view(np.dtype([("a", np.uint8), ("b", np.uint8)])),
            np.full((4, WIDTH), np.datetime64("2020-01-01")),
            np.ones((4, WIDTH), ">f4"),
        ]
    )
    return content(embeddings(odd)), {}


def not_base64(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    good = embeddings(rows_of(lots, 4))["image_embeds"]
    text = lots.choice(["", "x", "%%%", good[: len(good) // 2 // 4 * 4], good[3:], encoded(lots.randbytes(64)), "\x00"])
    return content({"type": "image_embeds", "image_embeds": text}), {}


def huge_numbers(lots: random.Random) -> tuple[Any, dict[str, Any]]:
    rows = rows_of(lots, 4) * np.float32(lots.choice([1e10, 1e20, 1e30, 1e37]))
    return content(embeddings(rows)), {}
