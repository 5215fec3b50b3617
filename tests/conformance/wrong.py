"""Backends that are wrong in one thing each: what `test_wrong_backends.py` holds the suite to.

Each is the specification with some verbs replaced; next to it are the clauses that it breaks, and no other may fail.
"""

from typing import NamedTuple

from .wrong_verbs import VERBS

BEFORE = """
import numpy as np
from vtc_conformance import oracle
from vtc_core.methods import VtcCls
from vtc_core import Pruned, attend, checks, gather, resolve_layers, score, select
from vtc_core import from_numpy, to_numpy

dtypes = ("float32",)
"""

AFTER = """

@checks.before(checks.prune)
def prune(features, cls_attention, keep, reduce="sum"):
    scores = score(cls_attention, reduce)
    indices = select(scores, keep)
    return Pruned(gather(features, indices), indices, scores)
"""

ENCODER = """
def load_encoder(checkpoint_dir, *, keep, layers, reduce):
    depth = {"square": 5, "odd": 3, "24x24": 4}[checkpoint_dir.split("-")[1]]
    tokens = {"square": 16, "odd": 25, "24x24": 576}[checkpoint_dir.split("-")[1]]
    checks.encoder(tokens, depth, keep, VtcCls(layers, reduce), -2)
    LAYERS

    def encode(pixels):
        scores = oracle.scores(checkpoint_dir, pixels, layers, reduce).astype(np.float32)
        indices = select(scores, keep)
        hidden = oracle._encode(checkpoint_dir, pixels).hidden_states
        return Pruned(FEATURES, indices, scores)

    return encode
"""


def encoder(layers: str = "", features: str = "gather(hidden[-2][:, 1:], indices)") -> str:
    return ENCODER.replace("LAYERS", layers).replace("FEATURES", features)


class Wrong(NamedTuple):
    breaks: set[str]
    source: str


WRONG = {name: Wrong(*verb) for name, verb in VERBS.items()} | {
    # --- S6 ---
    "counts_from_the_last_layer": Wrong({"S6"}, """
def resolve_layers(layers, depth, feature_layer=-2):
    return tuple(range(depth))[-layers:] if type(layers) is int else tuple(sorted(i % depth for i in layers))
"""),
    "an_encoder_that_counts_from_the_first_layer": Wrong(
        {"S6"}, encoder("layers = tuple(range(layers)) if type(layers) is int else layers")
    ),
    # --- S7 ---
    "ranks_by_the_first_row": Wrong({"S3", "S7"}, """
right = select
def select(scores, keep):
    indices = right(scores, keep)
    return np.repeat(indices[:1], len(indices), axis=0)
"""),
    "scores_relative_to_the_batch": Wrong({"S2", "S3", "S7"}, """
right = score
def score(cls_attention, reduce="sum"):
    scores = right(cls_attention, reduce)
    return scores - scores.mean(0, keepdims=True) if scores.shape[0] > 1 else scores
"""),
    "no_empty_batch": Wrong({"S7"}, """
right = select
def select(scores, keep):
    if hasattr(scores, "shape") and scores.shape[0] == 0:
        raise RuntimeError("zero-size array")
    return right(scores, keep)
"""),
    # --- S8 ---
    "features_of_the_last_layer": Wrong({"S8"}, encoder(features="gather(hidden[-1][:, 1:], indices)")),
    "forgets_the_offset_of_cls": Wrong({"S8"}, encoder(features="gather(hidden[-2], indices)")),
    "changes_a_kept_token": Wrong({"S8"}, encoder(features="gather(hidden[-2][:, 1:], indices) * 1.0001")),
    # --- S9 ---
    "noise_in_long_rows": Wrong({"S9"}, """
right, noise = attend, np.random.default_rng(0)
def attend(query, keys, scale):
    rows = right(query, keys, scale)
    return rows * (1 + 3e-7 * noise.random(rows.shape, np.float32)) if rows.shape[-1] == 64 else rows
"""),
    # --- methods: each has `scan`, which opts into their group ---
    "stops_a_step_early": Wrong({"METHODS"}, """
def scan(step, state, count):
    for i in range(count - 1):
        state = step(i, *state)
    return state
"""),
    "counts_steps_from_one": Wrong({"METHODS"}, """
def scan(step, state, count):
    for i in range(count):
        state = step(i + 1, *state)
    return state
"""),
    "methods_with_ties_to_the_higher_index": Wrong({"S3", "METHODS"}, """
from vtc_core import scan

@checks.before(checks.select)
def select(scores, keep):
    ranked = scores.shape[1] - 1 - np.argsort(-scores[:, ::-1], axis=-1, kind="stable")
    return np.sort(ranked[:, : int(keep)], axis=-1)
"""),
    # --- section 9 and the protocol ---
    "says_it_in_other_words": Wrong({"ERRORS"}, """
right = score
def score(cls_attention, reduce="sum"):
    if reduce == "avg":
        raise ValueError("unknown reduction avg")
    return right(cls_attention, reduce)
"""),
    "value_error_for_a_type": Wrong({"ERRORS"}, """
right = gather
def gather(features, indices):
    try:
        return right(features, indices)
    except TypeError as error:
        raise ValueError(str(error)) from error
"""),
    "other_argument_names": Wrong({"PROTOCOL"}, """
right = select
def select(scores, k):
    return right(scores, k)
"""),
}  # fmt: skip


def source(name: str) -> str:
    return BEFORE + WRONG[name].source + AFTER
