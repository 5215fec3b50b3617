"""What the conformance suite asks of a backend besides the verbs (conformance/README.md, "The protocol")."""

import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vtc_core.methods import VtcCls

from . import verbs
from .encoder import PrunedEncoder
from .verbs import Pruned

dtypes = ("float16", "bfloat16", "float32", "float64")


def devices() -> tuple[str, ...]:
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def from_numpy(array: np.ndarray, device: str = "cpu") -> Tensor:
    """A copy on `device`. torch cannot read NumPy's bfloat16 (of `ml_dtypes`), so that its bits travel as int16."""
    if array.dtype.name == "bfloat16":
        return torch.tensor(array.view(np.int16)).view(torch.bfloat16).to(device)
    return torch.tensor(array).to(device)


def to_numpy(x: Tensor) -> np.ndarray:
    x = x.detach().cpu()
    if x.dtype == torch.bfloat16:
        import ml_dtypes  # not a dependency of this package: whoever wants NumPy's bfloat16 has it

        return x.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return x.numpy()


def load_encoder(
    checkpoint_dir: str, *, keep: int, layers: int | Sequence[int], reduce: str, device: str = "cpu"
) -> Callable[[Tensor], Pruned]:
    """Pixels to `Pruned`, in the dtype of the checkpoint."""
    encoder = PrunedEncoder.from_pretrained(checkpoint_dir, keep, VtcCls(layers, reduce))  # type: ignore[arg-type]
    return torch.no_grad()(encoder.to(device))


def _compiled(verb: Callable[..., Any]) -> Callable[..., Any]:
    """`verb` by torch.compile, at its first call.

    Traced, functionalised and decomposed, but without inductor: it needs seconds of compiling for every kind of shape.
    dynamo gives up on a function at its ninth kind and goes on eagerly, without a word; the suite has more of them.
    """
    run = functools.cache(lambda: torch.compile(verb, dynamic=True, backend="aot_eager"))

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._dynamo.config.patch(recompile_limit=100):
            return run()(*args, **kwargs)

    return call


variants = {
    "compile": SimpleNamespace(
        dtypes=("float32",),  # a graph is the same in all of them, and tracing is slow
        attend=_compiled(verbs.attend),
        score=_compiled(verbs.score),
        select=_compiled(verbs.select),
        gather=_compiled(verbs.gather),
        prune=_compiled(verbs.prune),
    )
}
