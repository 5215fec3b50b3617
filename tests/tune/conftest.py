"""The embedded model, and a folder of its results."""

from typing import Any

import pytest
import torch

import vtc_tiny

from .running import tuned


@pytest.fixture(scope="session")
def pair() -> tuple[Any, Any]:
    """The embedded (model, processor)."""
    return vtc_tiny.load()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """What is compared to the bit is computed alike; faster, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(pair, tmp_path_factory):
    """A folder that was filled without a break."""
    out = tmp_path_factory.mktemp("tuned") / "out"
    tuned(pair, out)
    return out
