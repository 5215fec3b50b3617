"""The comparisons of the suite: silent when they hold, else an AssertionError that says where and by how much."""

from collections.abc import Callable

import numpy as np


def equal(got: np.ndarray, expected: np.ndarray) -> None:
    """Same shape, same numbers: no tolerance. NaN equals NaN and -0.0 equals 0.0; dtypes may differ."""
    _close(got, expected, np.zeros(expected.shape))


def close(got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Every entry within `tolerance` times its own expected value."""
    _close(got, expected, tolerance * np.abs(_wide(expected)))


def close_to_largest(got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Every entry within `tolerance` times the largest expected value: for sums that may cancel."""
    _close(got, expected, np.full(expected.shape, tolerance * np.abs(_wide(expected)).max(initial=0)))


def same_bits(got: np.ndarray, expected: np.ndarray) -> None:
    """Same dtype, same shape, same bits: NaN payloads and the sign of zero count."""
    has_dtype(got, expected.dtype.name)
    has_shape(got, expected.shape)
    g, e = (np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}") for x in (got, expected))
    if (g != e).any():
        first = tuple(np.argwhere(g != e)[0].tolist())
        raise AssertionError(
            f"{(g != e).sum()} of {g.size} entries differ in their bits, first at {first}: "
            f"got {got[first]!r} ({g[first]:#x}), expected {expected[first]!r} ({e[first]:#x})"
        )


def has_dtype(got: np.ndarray, *names: str) -> None:
    if got.dtype.name not in names:
        raise AssertionError(f"dtype is {got.dtype.name}, expected {' or '.join(names)}")


def has_shape(got: np.ndarray, shape: tuple[int, ...]) -> None:
    if got.shape != shape:
        raise AssertionError(f"shape is {got.shape}, expected {shape}")


def is_integer(got: np.ndarray) -> None:
    if got.dtype.kind not in "iu":
        raise AssertionError(f"dtype is {got.dtype.name}, expected integers")


def kept(got: np.ndarray, scores: np.ndarray, keep: int, tolerance: float) -> None:
    """`keep` tokens a row in raster order, those of the highest `scores`.

    Free to choose between tokens whose scores are within `tolerance` times the score at the cut of it.
    """
    has_shape(got, (len(scores), keep))
    for row, (indices, row_scores) in enumerate(zip(got.tolist(), _wide(scores), strict=True)):
        if indices != sorted(set(indices)):
            raise AssertionError(f"row {row} is not in raster order: {indices}")
        cut = np.sort(row_scores)[-keep]
        wrong = set(indices) ^ set(np.argsort(-row_scores, kind="stable")[:keep].tolist())
        for token in sorted(wrong):
            if abs(row_scores[token] - cut) > tolerance * abs(cut):
                verb = "kept" if token in indices else "left out"
                raise AssertionError(
                    f"row {row}: token {token} is {verb} with a score of {row_scores[token]:.9g}; "
                    f"the score at the cut is {cut:.9g}, the tolerance {tolerance:.1e} of it"
                )


def refuses(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    """`call` raises exactly this exception with exactly this message."""
    try:
        call()
    except Exception as error:
        if type(error) is not kind or str(error) != message:
            raise AssertionError(
                f"raised   {type(error).__name__}: {error}\nexpected {kind.__name__}: {message}"
            ) from error
    else:
        raise AssertionError(f"raised nothing\nexpected {kind.__name__}: {message}")


def _wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64)


def _close(got: np.ndarray, expected: np.ndarray, allowed: np.ndarray) -> None:
    has_shape(got, expected.shape)
    g, e = _wide(got), _wide(expected)
    same = (g == e) | (np.isnan(g) & np.isnan(e))
    with np.errstate(invalid="ignore"):
        wrong = ~(same | (np.abs(g - e) <= allowed))
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0].tolist())
        finite = np.isfinite(g) & np.isfinite(e) & wrong
        worst = f", largest error {np.abs(g - e)[finite].max():.3g}" if finite.any() else ""
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} entries differ, first at {first}: "
            f"got {g[first]:.9g}, expected {e[first]:.9g}{worst}"
            + (f", allowed there {allowed[first]:.3g}" if allowed.any() else "")
        )


def same_tuple(got: object, expected: tuple[int, ...]) -> None:
    if not isinstance(got, tuple) or got != expected:
        raise AssertionError(f"returned {got!r}, expected {expected!r}")


def contains(got: np.ndarray, smaller: np.ndarray) -> None:
    """Row by row, all of `smaller` is in `got`."""
    for row, (larger, fewer) in enumerate(zip(got.tolist(), smaller.tolist(), strict=True)):
        if not set(fewer) <= set(larger):
            raise AssertionError(f"row {row}: {fewer} is not contained in {larger}")


def has_fields(got: object, fields: tuple[str, ...]) -> None:
    if getattr(got, "_fields", None) != fields:
        raise AssertionError(f"returned {type(got).__name__}, expected a NamedTuple of {', '.join(fields)}")
