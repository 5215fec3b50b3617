"""Backends that are wrong in one thing each: what `test_wrong_backends.py` holds the suite to.

Each is the specification with some verbs replaced; next to it are the clauses that it breaks, and no other may fail.
"""

from typing import NamedTuple

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

SOFTMAX = """
@checks.before(checks.attend)
def attend(query, keys, scale):
    logits = SCALE * np.einsum("bhd,bhnd->bhn", query, keys)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True))LAST
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


WRONG = {
    # --- S1 ---
    "renormalises_without_cls": Wrong({"S1"}, """
right = attend
def attend(query, keys, scale):
    rows = right(query, keys, scale)
    return rows / rows.sum(-1, keepdims=True)
"""),
    "drops_the_last_column_for_cls": Wrong({"S1"}, SOFTMAX.replace("SCALE", "scale").replace("LAST", "[..., :-1]")),
    "forgets_the_scale": Wrong({"S1"}, SOFTMAX.replace("SCALE", "1").replace("LAST", "[..., 1:]")),
    "keeps_16_bit_attention": Wrong({"S1"}, """
dtypes = ("float16",)
right = attend
def attend(query, keys, scale):
    return right(query, keys, scale).astype(np.float16)
"""),
    "softmax_of_16_bit_logits": Wrong({"S1"}, """
dtypes = ("float16",)
@checks.before(checks.attend)
def attend(query, keys, scale):
    logits = np.float16(scale) * np.einsum("bhd,bhnd->bhn", query, keys)
    weights = np.exp(logits.astype(np.float32) - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True))[..., 1:]
"""),
    # --- S2 ---
    "sums_over_heads": Wrong({"S2"}, """
right = score
def score(cls_attention, reduce="sum"):
    return right(cls_attention, reduce) * cls_attention.shape[2]
"""),
    "highest_head": Wrong({"S2", "S3"}, """
@checks.before(checks.score)
def score(cls_attention, reduce="sum"):
    return getattr(np, reduce)(cls_attention.max(2), 0)
"""),
    "mean_is_the_default": Wrong({"S2"}, """
right = score
def score(cls_attention, reduce="mean"):
    return right(cls_attention, reduce)
"""),
    "accumulates_in_16_bits": Wrong({"S2"}, """
dtypes = ("float16",)
@checks.before(checks.score)
def score(cls_attention, reduce="sum"):
    return getattr(np, reduce)(cls_attention.mean(2, dtype=np.float16), axis=0).astype(np.float32)
"""),
    "float64_is_cut_to_float32": Wrong({"S2"}, """
dtypes = ("float64",)
right = score
def score(cls_attention, reduce="sum"):
    return right(cls_attention, reduce).astype(np.float32).astype(np.float64)
"""),
    "loses_nan_among_many": Wrong({"S2"}, """
right = score
def score(cls_attention, reduce="sum"):
    scores = right(cls_attention, reduce)
    return np.where(np.isnan(scores), np.inf, scores) if scores.size > 1728 and reduce == "min" else scores
"""),
    # --- S3 ---
    "ties_to_the_higher_index": Wrong({"S3"}, """
@checks.before(checks.select)
def select(scores, keep):
    ranked = scores.shape[1] - 1 - np.argsort(-scores[:, ::-1], axis=-1, kind="stable")
    return np.sort(ranked[:, : int(keep)], axis=-1)
"""),
    "unstable_sort": Wrong({"S3"}, """
@checks.before(checks.select)
def select(scores, keep):
    return np.sort(np.argsort(-scores, axis=-1)[:, : int(keep)], axis=-1)
"""),
    "score_order": Wrong({"S3", "S4"}, """
@checks.before(checks.select)
def select(scores, keep):
    return np.argsort(-scores, axis=-1, kind="stable")[:, : int(keep)]
"""),
    "nan_first": Wrong({"S3"}, """
right = select
@checks.before(checks.select)
def select(scores, keep):
    return right(np.where(np.isnan(scores), np.inf, scores), keep)
"""),
    "nan_equals_minus_inf": Wrong({"S3"}, """
right = select
@checks.before(checks.select)
def select(scores, keep):
    return right(np.where(np.isnan(scores), -np.inf, scores), keep)
"""),
    "minus_zero_below_zero": Wrong({"S3"}, """
right = select
def select(scores, keep):
    return right(np.where((scores == 0) & np.signbit(scores), -1e-30, scores).astype(scores.dtype), keep)
"""),
    # --- S4 ---
    "clamps_keep": Wrong({"S4"}, """
right = select
def select(scores, keep):
    return right(scores, min(keep, scores.shape[1]) if type(keep) is int and scores.ndim == 2 and scores.size else keep)
"""),
    "true_is_one": Wrong({"S4"}, """
right = select
def select(scores, keep):
    return right(scores, 1 if keep is True else keep)
"""),
    "all_tokens_come_backwards": Wrong({"S4"}, """
right = select
def select(scores, keep):
    return right(scores, keep)[:, ::-1] if scores.shape[-1:] == (keep,) else right(scores, keep)
"""),
    # --- S5 ---
    "casts_the_features": Wrong({"S5"}, """
right = gather
def gather(features, indices):
    return right(features, indices).astype(np.float64)
"""),
    "one_nan_for_all": Wrong({"S5"}, """
right = gather
def gather(features, indices):
    kept = right(features, indices)
    return np.where(np.isnan(kept), np.float32("nan"), kept)
"""),
    "adds_zero": Wrong({"S5"}, """
right = gather
def gather(features, indices):
    return right(features, indices) + np.float32(0)  # -0.0 + 0.0 is 0.0
"""),
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
