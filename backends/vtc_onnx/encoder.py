"""An exported file, run: pixels in, `Pruned` out. Needs onnxruntime alone."""

import os
from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np
import onnxruntime
from jaxtyping import Float
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

from vtc_core import Pruned, arguments, checks
from vtc_core.methods import method_of, spelled

from . import sessions
from .metadata import from_properties

MOST_AT_ONCE = 8  # pictures in a call on a CPU: beyond that onnxruntime takes longer for each


class PrunedEncoder:
    """A pruned vision encoder from a file that `vtc_onnx.export` wrote.

    Args:
        path: the file.
        keep: tokens kept where a call does not say; the file's own default when None.
        providers: onnxruntime's execution providers, best first, such as ("CUDAExecutionProvider",
            "CPUExecutionProvider"); the CPU when None.
        threads: threads of a call; onnxruntime's choice, all cores, when None.

    Attributes:
        metadata: what the file says of itself, a `vtc_onnx.metadata.Metadata`.

    Raises:
        FileNotFoundError: no file there.
        ValueError, TypeError: a file that was not exported by vtc, an argument that does not fit it or onnxruntime.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        keep: SupportsIndex | None = None,
        providers: Sequence[str] | None = None,
        threads: SupportsIndex | None = None,
    ) -> None:
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise FileNotFoundError(f"there is no file {self.path}")
        available = onnxruntime.get_available_providers()
        for provider in providers or ():
            if provider not in available:
                raise ValueError(f"providers must be some of {', '.join(map(repr, available))}, got {provider!r}")
        options = onnxruntime.SessionOptions()
        if threads is not None:
            arguments.count("threads", threads)
            options.intra_op_num_threads = int(threads)
        try:
            self._session = onnxruntime.InferenceSession(
                self.path, options, providers=list(providers or ["CPUExecutionProvider"])
            )
        except InvalidProtobuf as error:
            raise ValueError(f"{self.path} is not an ONNX model: {error}") from error
        self.metadata = from_properties(self._session.get_modelmeta().custom_metadata_map, self.path)
        self.keep = self.metadata.keep if keep is None else self._checked(keep)

    def __call__(
        self, pixel_values: Float[np.ndarray, "batch channels height width"], keep: SupportsIndex | None = None
    ) -> Pruned:
        """(batch channels height width) -> features (batch keep dim), indices (batch keep), scores (batch tokens).

        Pixels are normalised as the checkpoint's processor does it. Features and scores are float32, indices int64;
        features come after the projector when the file was exported from a LLaVA.
        """
        checks.pixels(pixel_values, self.metadata.image_size, patch=1)
        arguments.floating("pixel_values", pixel_values)
        channels = pixel_values.shape[1]
        if channels != self.metadata.channels:
            raise ValueError(f"pixel_values must have {self.metadata.channels} channels, got {channels}")
        pixels = pixel_values.astype(np.float32, copy=False)
        count = self.keep if keep is None else self._checked(keep)
        budget = {} if self.metadata.static_keep else {"keep": np.asarray(count, np.int64)}
        on_cpu = self._session.get_providers()[0] == "CPUExecutionProvider"
        step = MOST_AT_ONCE if on_cpu and len(pixels) > MOST_AT_ONCE else max(1, len(pixels))
        parts = [{"pixel_values": pixels[i : i + step], **budget} for i in range(0, max(1, len(pixels)), step)]
        results = [sessions.results(self._session, part)[: len(Pruned._fields)] for part in parts]  # weights may follow
        return Pruned(*(np.concatenate(arrays) for arrays in zip(*results, strict=True)))

    def _checked(self, keep: SupportsIndex) -> int:
        checks.budget(keep, self.metadata.tokens)
        if self.metadata.static_keep and int(keep) != self.metadata.keep:
            raise ValueError(f"keep is a constant of {self.path} (static_keep): {self.metadata.keep}, got {keep!r}")
        return int(keep)

    def __repr__(self) -> str:
        size = f"keep={self.keep} of {self.metadata.tokens}"
        return f"PrunedEncoder({self.path!r}, {size}, method={spelled(method_of(self.metadata.method))!r})"
