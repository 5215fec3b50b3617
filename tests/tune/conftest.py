"""The embedded model, once."""

from typing import Any

import pytest
import torch

import vtc_tiny


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
