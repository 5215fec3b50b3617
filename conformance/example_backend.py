"""A complete backend of vtc."""

import numpy as np

from vtc_core import Pruned, checks, resolve_layers  # noqa: F401  (resolve_layers is one of the verbs)


@checks.before(checks.attend)
def attend(query, keys, scale):
    logits = scale * (keys @ query[..., None])[..., 0]
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights[..., 1:] / weights.sum(-1, keepdims=True)


@checks.before(checks.score)
def score(cls_attention, reduce="sum"):
    return {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}[reduce](cls_attention.mean(2), 0)


@checks.before(checks.select)
def select(scores, keep):
    order = -np.where(np.isnan(scores), -np.inf, scores)  # best first
    ranked = np.lexsort((order, np.isnan(scores)), axis=-1)  # NaN last, then by score; of equals the lower index first
    return np.sort(ranked[:, : int(keep)], axis=-1)


@checks.before(checks.gather)
def gather(features, indices):
    return features[np.arange(len(features))[:, None], indices]


@checks.before(checks.prune)
def prune(features, cls_attention, keep, reduce="sum"):
    scores = score(cls_attention, reduce)
    indices = select(scores, keep)
    return Pruned(gather(features, indices), indices, scores)


def from_numpy(array):  # numpy.ndarray -> an array of your framework
    return array


def to_numpy(x):  # and back
    return x
