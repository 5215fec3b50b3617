"""Measures what `vtc_conformance/tolerances.py` doubles: the largest errors of a backend, by dtype and kind of result.

PYTHONPATH=conformance python -m pytest -q -p measure --pyargs vtc_conformance --vtc-backend vtc_torch
"""

from collections import defaultdict

import numpy as np
import pytest

from vtc_conformance import compare
from vtc_conformance.tolerances import TOLERANCES, Tolerance

LARGEST: dict[tuple[str, str], float] = defaultdict(float)


class Named(float):
    """A tolerance of 1 that remembers which one it is."""

    key: tuple[str, str]


def pytest_configure() -> None:
    for dtype in TOLERANCES:
        ones = {kind: Named(1) for kind in Tolerance._fields}
        for kind, one in ones.items():
            one.key = (kind, dtype)
        TOLERANCES[dtype] = Tolerance(**ones)
    compare.close = _close
    compare.close_to_largest = _close_to_largest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for (kind, dtype), error in sorted(LARGEST.items()):
        terminalreporter.write_line(f"{kind:18}{dtype:10}{error:.2g}")


def _close(got: np.ndarray, expected: np.ndarray, tolerance: Named) -> None:
    _record(got, expected, np.abs(expected.astype(float)), tolerance)


def _close_to_largest(got: np.ndarray, expected: np.ndarray, tolerance: Named) -> None:
    _record(got, expected, np.abs(expected.astype(float)).max(initial=0), tolerance)


def _record(got: np.ndarray, expected: np.ndarray, size: np.ndarray, tolerance: Named) -> None:
    compare.has_shape(got, expected.shape)
    error = np.abs(got.astype(float) - expected.astype(float)) / np.where(size == 0, 1, size)
    LARGEST[tolerance.key] = max(LARGEST[tolerance.key], float(error.max(initial=0)))
