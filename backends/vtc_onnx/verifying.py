"""A file that was just written, run in ONNX Runtime and compared with torch."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from jaxtyping import Float

import vtc_core
from vtc_core import Pruned
from vtc_core.methods import Choice
from vtc_torch import PrunedEncoder as TorchEncoder
from vtc_torch.walk import Looked

from .encoder import PrunedEncoder

BATCHES = (1, 3)
# How far features and scores may lie from those of float32 in torch, relative to the largest. An int8 file is another
# network: whether its figures are good enough is for the user to say.
TOLERANCES = {"float32": 1e-4, "float16": 3e-2, "int8": np.inf}


class Agreement(NamedTuple):
    """Of a file with float32 in torch, on sample pictures, at the file's own `keep`."""

    difference: float  # largest, of a feature at a kept token
    overlap: float  # share of the kept tokens that torch keeps
    cosine: float  # mean, of the features at the kept tokens


def verify(path: Path, encoder: TorchEncoder, kind: str) -> Agreement:
    """Check `path`, run it at two batch sizes and, unless `keep` is a constant, four budgets; else a RuntimeError.

    Scores must be torch's. A file keeps what torch keeps, or, of a method that keeps the highest scores, those of its
    own scores (S3): two scores that differ by a rounding and change what is kept are no error, nor are other tokens in
    16 bits. What it feeds is compared with the features of all tokens in torch at the tokens that it kept (S8), of a
    merging method with what torch feeds where both keep the same.
    """
    onnx.checker.check_model(str(path), full_check=True)
    file = PrunedEncoder(path)
    tokens = file.metadata.tokens
    budgets = {file.keep} if file.metadata.static_keep else {1, min(7, tokens), file.keep, tokens}
    rows = []
    for batch in BATCHES:
        pixels = pictures(batch, file.metadata.channels, file.metadata.image_size)
        with torch.inference_mode():
            looked = encoder.look(torch.from_numpy(pixels))
            for keep in sorted(budgets):
                rows += _compare(file(pixels, keep), looked, encoder.projector, keep, kind, keep == file.keep)
    difference, overlap, cosine = np.transpose(rows)
    return Agreement(float(difference.max()), float(overlap.mean()), float(cosine.mean()))


def _compare(got: Pruned, looked: Looked, project: Any, keep: int, kind: str, told: bool) -> list[Agreement]:
    """At one budget; an agreement for each picture, if it is to be `told`."""
    choice, merges = looked.choose(keep), looked.method.merges
    wanted, scores = choice.indices.numpy(), choice.scores.numpy()
    at = f"(batch {len(wanted)}, keep {keep})"
    same = (wanted == got.indices).all(1)
    highest = not merges and np.array_equal(wanted, vtc_core.select(scores, keep))
    if highest and not np.array_equal(got.indices, vtc_core.select(got.scores, keep)):
        raise RuntimeError(f"the exported file does not keep the tokens with its highest scores {at}")
    if kind == "float32" and not highest and not same.all():
        raise RuntimeError(f"the exported file keeps other tokens than torch {at}")
    chosen = choice if merges else Choice(torch.from_numpy(got.indices), choice.scores)
    fed = looked.feed(chosen, project).numpy()
    compared = same if merges else np.ones_like(same)
    for name, ours, theirs in (("scores", got.scores, scores), ("features", got.features[compared], fed[compared])):
        difference, bound = np.abs(ours - theirs).max(initial=0), TOLERANCES[kind] * np.abs(theirs).max(initial=0)
        if not difference <= bound:  # NaN is not
            raise RuntimeError(
                f"{name} of the exported file differ by {difference:.3g} from torch's {at}; "
                f"at most {bound:.3g} is allowed"
            )
    overlap = [np.isin(ours, theirs).mean() for ours, theirs in zip(got.indices, wanted, strict=True)]
    rows = np.flatnonzero(compared) if told else ()
    return [_agreement(got.features[row], fed[row], float(overlap[row])) for row in rows]


def pictures(count: int, channels: int, side: int) -> Float[np.ndarray, "batch channels height width"]:
    """Smooth noise at three scales, as bright as normalised photos, so that patches differ; always the same."""
    pixels = np.zeros((count, channels, side, side), np.float32)
    for cells in (3, 7, 17):
        noise = np.random.default_rng(cells).standard_normal((count, channels, cells, cells), np.float32)
        picked = np.arange(side) * cells // side
        pixels += noise[:, :, picked][..., picked] / 3**0.5
    return pixels


def _agreement(
    got: Float[np.ndarray, "keep dim"], expected: Float[np.ndarray, "keep dim"], overlap: float
) -> Agreement:
    cosines = (got * expected).sum(-1) / (np.linalg.norm(got, axis=-1) * np.linalg.norm(expected, axis=-1))
    return Agreement(float(np.abs(got - expected).max()), overlap, float(cosines.mean()))
