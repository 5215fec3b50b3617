"""ONNX Runtime sessions of the verbs, one for each verb, dtypes and `reduce`; shapes and `keep` are free in all."""

import functools
from typing import Any

import numpy as np
import onnxruntime

from . import graph

# What onnxruntime has CPU kernels for and takes from NumPy; it has neither for bfloat16.
FLOATS = ("float16", "float32", "float64")


def run(verb: str, reduce: str = "sum", **arguments: np.ndarray) -> list[np.ndarray]:
    """The results of a verb; arguments by name, in its order."""
    for name, array in arguments.items():
        if "float" in array.dtype.name and array.dtype.name not in FLOATS:
            raise TypeError(
                f"{name} must be of a dtype that onnxruntime takes ({', '.join(FLOATS)}), got {array.dtype}"
            )
    dtypes = tuple((name, array.dtype) for name, array in arguments.items())
    return results(session(verb, reduce, dtypes), arguments)


def results(session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What a session makes of `inputs`, with NumPy's own int64: onnxruntime's is C's `long long`, another type."""
    made: Any = session.run(None, inputs)
    return [x.view(np.int64) if x.dtype == np.int64 else x for x in made]


@functools.cache
def session(verb: str, reduce: str, dtypes: tuple[tuple[str, np.dtype], ...]) -> onnxruntime.InferenceSession:
    """The graphs are small and there may be dozens of sessions: each runs in the caller's thread, none has a pool."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = graph.verb(verb, reduce, **dict(dtypes)).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
