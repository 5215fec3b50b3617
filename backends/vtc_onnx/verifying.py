"""A file that was just written, run in ONNX Runtime and compared with torch."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from jaxtyping import Float
from torch import nn

import vtc_core
from vtc_torch import PrunedEncoder as TorchEncoder

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


def verify(path: Path, encoder: TorchEncoder, projector: nn.Module | None, kind: str) -> Agreement:
    """Check `path`, run it at two batch sizes and, unless `keep` is a constant, two budgets; else a RuntimeError.

    Features are compared with those of all tokens in torch, at the tokens that the file kept (S8). These must be the
    ones that the specification selects by the file's scores (S3), and the scores must be torch's (S1, S2): two scores
    that differ by a rounding and change what is kept are no error.
    """
    onnx.checker.check_model(str(path), full_check=True)
    file = PrunedEncoder(path)
    other = 1 if file.keep > 1 else file.metadata.tokens
    budgets = (file.keep,) if file.metadata.static_keep else (other, file.keep)
    rows = []
    for batch in BATCHES:
        pixels = pictures(batch, file.metadata.channels, file.metadata.image_size)
        features, scores = of_all_tokens(encoder, projector, pixels)
        for keep in budgets:
            kept, indices, file_scores = file(pixels, keep)
            at = f"(batch {batch}, keep {keep})"
            if not np.array_equal(indices, vtc_core.select(file_scores, keep)):
                raise RuntimeError(f"the exported file does not keep the tokens with its highest scores {at}")
            expected = vtc_core.gather(features, indices)
            for name, got, wanted in (("scores", file_scores, scores), ("features", kept, expected)):
                difference, bound = np.abs(got - wanted).max(), TOLERANCES[kind] * np.abs(wanted).max()
                if not difference <= bound:  # NaN is not
                    raise RuntimeError(
                        f"{name} of the exported file differ by {difference:.3g} from torch's {at}; "
                        f"at most {bound:.3g} is allowed"
                    )
            for row in range(batch if keep == file.keep else 0):
                rows.append(_agreement(kept[row], expected[row], indices[row], vtc_core.select(scores, keep)[row]))
    difference, overlap, cosine = np.transpose(rows)
    return Agreement(float(difference.max()), float(overlap.mean()), float(cosine.mean()))


def of_all_tokens(
    encoder: TorchEncoder, projector: nn.Module | None, pixels: Float[np.ndarray, "batch channels height width"]
) -> tuple[Float[np.ndarray, "batch tokens dim"], Float[np.ndarray, "batch tokens"]]:
    """Features and scores in torch with nothing pruned."""
    whole = TorchEncoder(encoder.tower, encoder.tokens, encoder.layers, encoder.reduce, encoder.feature_layers)
    with torch.inference_mode():
        features, _, scores = whole(torch.from_numpy(pixels))
        return (projector(features) if projector else features).numpy(), scores.numpy()


def pictures(count: int, channels: int, side: int) -> Float[np.ndarray, "batch channels height width"]:
    """Smooth noise at three scales, as bright as normalised photos, so that patches differ; always the same."""
    pixels = np.zeros((count, channels, side, side), np.float32)
    for cells in (3, 7, 17):
        noise = np.random.default_rng(cells).standard_normal((count, channels, cells, cells), np.float32)
        picked = np.arange(side) * cells // side
        pixels += noise[:, :, picked][..., picked] / 3**0.5
    return pixels


def _agreement(
    got: Float[np.ndarray, "keep dim"], expected: Float[np.ndarray, "keep dim"], indices: np.ndarray, wanted: np.ndarray
) -> Agreement:
    cosines = (got * expected).sum(-1) / (np.linalg.norm(got, axis=-1) * np.linalg.norm(expected, axis=-1))
    return Agreement(np.abs(got - expected).max(), np.isin(indices, wanted).mean(), cosines.mean())
