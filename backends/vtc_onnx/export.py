"""A pruned vision encoder as one ONNX file: `keep` is an input, so that it serves every budget."""

import importlib.metadata
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

from vtc_core import arguments
from vtc_core.methods import Method, VtcCls, method_of, saved

from .metadata import Metadata

DTYPES = ("float32", "float16")


class Report(NamedTuple):
    """What was written, and how it agrees with float32 in torch on sample pictures (smooth noise, made by code)."""

    path: Path
    bytes: int  # of the file, and of the one with its weights if there is one
    tokens: int  # patch tokens of a picture
    difference: float  # largest, of a feature at a kept token
    overlap: float  # share of the kept tokens that torch keeps
    cosine: float  # mean, of the features at the kept tokens


def export(
    source: Any,
    path: str | os.PathLike[str],
    keep: SupportsIndex = 64,
    method: Method | str | Mapping[str, Any] = VtcCls(),  # noqa: B008, it is frozen
    feature_layer: int | Sequence[int] | None = None,
    *,
    static_keep: bool = False,
    weights: bool = False,
    dtype: str = "float32",
    quantize: str | None = None,
    overwrite: bool = False,
    progress: Callable[[str], object] = lambda step: None,
) -> Report:
    """Write a pruned vision encoder to `path`, run it in ONNX Runtime and compare it with torch. Needs torch.

    Opset 20. Inputs: `pixel_values` (batch channels height width) float32, batch free; `keep`, an int64 scalar.
    Outputs: `image_features` (batch keep dim) float32, `indices` (batch keep) int64, `scores` (batch tokens) float32.
    The work is that of `vtc_torch.PrunedEncoder`, which is what is traced.

    Args:
        source: a CLIP vision or LLaVA checkpoint (folder or hub id), a live `CLIPVisionModel` or LLaVA, or a
            `vtc_torch.PrunedEncoder`, whose settings then hold. Of a LLaVA the projector is in the file:
            `image_features` are what its language model eats. A live model is not changed.
        path: the file. Weights of 2 GB and more go to `path` + ".data".
        keep: tokens kept, in [1, tokens]; the default of `PrunedEncoder(path)`.
        method, feature_layer: as in `vtc_torch.PrunedEncoder.from_pretrained`; not all methods have a graph, see
            `vtc_onnx.methods`.
        static_keep: `keep` is a constant and no input, for engines that need that.
        weights: of a method that merges, a fourth output `weights` (batch keep tokens) float32: of which patches each
            fed token is made. Of other methods there is none.
        dtype: 'float32', or 'float16' for weights and arithmetic; inputs, features and scores stay float32.
        quantize: 'int8' for onnxruntime's dynamic quantisation of the products with weights. Look at the report.
        overwrite: replace a file at `path`.
        progress: is told each step, in words.

    Raises:
        ImportError: without torch, transformers or onnxscript.
        ValueError, TypeError: an argument that does not fit the source; a source without CLS.
        OSError: no checkpoint there, or no folder for `path`; FileExistsError: a file at `path`, and no `overwrite`.
        RuntimeError: the file did not agree with torch. It is gone, what was at `path` before is still there.
    """
    path = Path(path)
    _check(path, dtype, quantize, overwrite)
    try:
        import torch

        from . import sources, tracing, verifying, writing
    except ImportError as error:
        raise ImportError(
            f"vtc_onnx.export needs torch, transformers and onnxscript ({error}): pip install 'vtc-cls[torch,onnx]'"
        ) from error

    progress("reading the model")
    read = sources.read(source, sources.Settings(keep, method_of(method), feature_layer), static_keep)
    about = Metadata(
        vtc=importlib.metadata.version("vtc-cls"),
        method=saved(read.encoder.method),
        checkpoint=read.name,
        layers=list(read.encoder.layers),
        feature_layer=list(read.encoder.feature_layers),
        tokens=read.encoder.tokens,
        keep=read.encoder.keep,
        static_keep=static_keep,
        image_size=read.picture[-1],
        channels=read.picture[0],
        dtype=dtype,
        quantize=quantize,
    )
    progress("tracing")
    merged = weights and read.encoder.method.merges
    model = tracing.encoder(read.encoder, read.picture, getattr(torch, dtype), static_keep, merged)

    # All is made in a folder of its own beside `path`, which goes whatever happens; only what is finished leaves it.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        written = Path(folder, path.name)
        progress("writing")
        writing.write(model, written, about)
        progress("comparing with torch")
        agreement = verifying.verify(written, read.encoder, dtype)
        if quantize:
            progress("quantising")
            model = writing.quantized(model, Path(folder))
            writing.write(model, written, about)
            progress("comparing with torch")
            agreement = verifying.verify(written, read.encoder, quantize)
        writing.append(written, overlap=agreement.overlap, cosine=agreement.cosine)
        size = writing.move(written, path)
    return Report(path, size, read.encoder.tokens, *agreement)


def _check(path: Path, dtype: Any, quantize: Any, overwrite: bool) -> None:
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, DTYPES))}, got {dtype!r}")
    if quantize not in (None, "int8"):
        raise ValueError(f"quantize must be 'int8' or None, got {quantize!r}")
    if quantize and dtype != "float32":
        raise ValueError(f"quantize={quantize!r} leaves the rest in float32: dtype must be 'float32', got {dtype!r}")
    if path.is_dir():
        raise IsADirectoryError(f"path must be a file, got the folder {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    arguments.vacant(path, overwrite)
