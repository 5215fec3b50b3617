"""One thread a process: the models of the tests are so small that a second one only gets in the way."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, which no plugin does
collect_ignore = ["vllm", "lmms"]  # have environments, and a pytest.ini each, of their own


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the tests' own checks of types, which would be first."""
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
