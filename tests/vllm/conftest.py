"""In an environment of its own, with vLLM; a bare `pytest` does not collect this folder. From the project's root:

    PYTHONPATH=tests/vllm/shim python -m pytest -q tests/vllm

The shim is for a torchvision that does not fit torch, see there. Servers and engines are started once for all tests.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from servers import SMALL, left_behind

import vtc_tiny
from vtc_bench.server import vllm_server

DEFAULTS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB, of each
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}
for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)  # before vLLM is imported; servers inherit them
os.environ["PYTHONPATH"] = os.pathsep.join(
    os.path.abspath(folder) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder
)  # servers run in another folder

# A block of 32 tokens ends in the middle of a picture; a batch of 512 cuts prompts, and holds pictures of all budgets.
ALIKE = [*SMALL, "--block-size", "32", "--max-num-batched-tokens", "512", "--enable-prompt-tokens-details"]
PLUGIN = ["--trust-request-mm-kwargs", "--enable-mm-embeds"]


def serving(vtc: dict[str, Any] | None, *arguments: str) -> Iterator[str]:
    with left_behind() as left:
        with vllm_server(vtc_tiny.PATH, vtc, *ALIKE, *arguments) as address:
            yield address
        assert left() == []


@pytest.fixture(scope="session")
def pruned() -> Iterator[str]:
    """The address of a server of the embedded model, with keep=16 where a request does not say otherwise."""
    yield from serving({"keep": 16}, *PLUGIN)


@pytest.fixture(scope="session")
def stock() -> Iterator[str]:
    """The same without the plugin."""
    yield from serving(None)


@pytest.fixture
def engines() -> Iterator[Callable[..., Any]]:
    """Makes engines in this process, see `engine`; they are shut down after the test."""
    from engines import engine  # imports vLLM

    with ExitStack() as stack:
        yield lambda folder, vtc, **settings: stack.enter_context(engine(Path(folder), vtc, **settings))
