"""Verbs that are wrong in one thing each, S1 to S5: for each the clauses that it breaks, and its source."""

SOFTMAX = """
@checks.before(checks.attend)
def attend(query, keys, scale):
    logits = SCALE * np.einsum("bhd,bhnd->bhn", query, keys)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True))LAST
"""

VERBS: dict[str, tuple[set[str], str]] = {
    # --- S1 ---
    "renormalises_without_cls": ({"S1"}, """
right = attend
def attend(query, keys, scale):
    rows = right(query, keys, scale)
    return rows / rows.sum(-1, keepdims=True)
"""),
    "drops_the_last_column_for_cls": ({"S1"}, SOFTMAX.replace("SCALE", "scale").replace("LAST", "[..., :-1]")),
    "forgets_the_scale": ({"S1"}, SOFTMAX.replace("SCALE", "1").replace("LAST", "[..., 1:]")),
    "keeps_16_bit_attention": ({"S1"}, """
dtypes = ("float16",)
right = attend
def attend(query, keys, scale):
    return right(query, keys, scale).astype(np.float16)
"""),
    "softmax_of_16_bit_logits": ({"S1"}, """
dtypes = ("float16",)
@checks.before(checks.attend)
def attend(query, keys, scale):
    logits = np.float16(scale) * np.einsum("bhd,bhnd->bhn", query, keys)
    weights = np.exp(logits.astype(np.float32) - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True))[..., 1:]
"""),
    # --- S2 ---
    "sums_over_heads": ({"S2"}, """
right = score
def score(cls_attention, reduce="sum"):
    return right(cls_attention, reduce) * cls_attention.shape[2]
"""),
    "highest_head": ({"S2", "S3"}, """
@checks.before(checks.score)
def score(cls_attention, reduce="sum"):
    return getattr(np, reduce)(cls_attention.max(2), 0)
"""),
    "mean_is_the_default": ({"S2"}, """
right = score
def score(cls_attention, reduce="mean"):
    return right(cls_attention, reduce)
"""),
    "accumulates_in_16_bits": ({"S2"}, """
dtypes = ("float16",)
@checks.before(checks.score)
def score(cls_attention, reduce="sum"):
    return getattr(np, reduce)(cls_attention.mean(2, dtype=np.float16), axis=0).astype(np.float32)
"""),
    "float64_is_cut_to_float32": ({"S2"}, """
dtypes = ("float64",)
right = score
def score(cls_attention, reduce="sum"):
    return right(cls_attention, reduce).astype(np.float32).astype(np.float64)
"""),
    "loses_nan_among_many": ({"S2"}, """
right = score
def score(cls_attention, reduce="sum"):
    scores = right(cls_attention, reduce)
    return np.where(np.isnan(scores), np.inf, scores) if scores.size > 1728 and reduce == "min" else scores
"""),
    # --- S3 ---
    "ties_to_the_higher_index": ({"S3"}, """
@checks.before(checks.select)
def select(scores, keep):
    ranked = scores.shape[1] - 1 - np.argsort(-scores[:, ::-1], axis=-1, kind="stable")
    return np.sort(ranked[:, : int(keep)], axis=-1)
"""),
    "unstable_sort": ({"S3"}, """
@checks.before(checks.select)
def select(scores, keep):
    return np.sort(np.argsort(-scores, axis=-1)[:, : int(keep)], axis=-1)
"""),
    "score_order": ({"S3", "S4"}, """
@checks.before(checks.select)
def select(scores, keep):
    return np.argsort(-scores, axis=-1, kind="stable")[:, : int(keep)]
"""),
    "nan_first": ({"S3"}, """
right = select
@checks.before(checks.select)
def select(scores, keep):
    return right(np.where(np.isnan(scores), np.inf, scores), keep)
"""),
    "nan_equals_minus_inf": ({"S3"}, """
right = select
@checks.before(checks.select)
def select(scores, keep):
    return right(np.where(np.isnan(scores), -np.inf, scores), keep)
"""),
    "minus_zero_below_zero": ({"S3"}, """
right = select
def select(scores, keep):
    return right(np.where((scores == 0) & np.signbit(scores), -1e-30, scores).astype(scores.dtype), keep)
"""),
    # --- S4 ---
    "clamps_keep": ({"S4"}, """
right = select
def select(scores, keep):
    return right(scores, min(keep, scores.shape[1]) if type(keep) is int and scores.ndim == 2 and scores.size else keep)
"""),
    "true_is_one": ({"S4"}, """
right = select
def select(scores, keep):
    return right(scores, 1 if keep is True else keep)
"""),
    "all_tokens_come_backwards": ({"S4"}, """
right = select
def select(scores, keep):
    return right(scores, keep)[:, ::-1] if scores.shape[-1:] == (keep,) else right(scores, keep)
"""),
    # --- S5 ---
    "casts_the_features": ({"S5"}, """
right = gather
def gather(features, indices):
    return right(features, indices).astype(np.float64)
"""),
    "one_nan_for_all": ({"S5"}, """
right = gather
def gather(features, indices):
    kept = right(features, indices)
    return np.where(np.isnan(kept), np.float32("nan"), kept)
"""),
    "adds_zero": ({"S5"}, """
right = gather
def gather(features, indices):
    return right(features, indices) + np.float32(0)  # -0.0 + 0.0 is 0.0
"""),
}  # fmt: skip
