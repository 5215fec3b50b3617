"""Recipes for the arrays of the suite: a seed and a shape make the same array in a test and in a pasted repro."""

import ml_dtypes
import numpy as np

LARGE = (4, 577)  # batch and tokens: some compilers change their ways beyond 1,728 numbers in a row of rows
BITS = {"float16": np.uint16, "bfloat16": np.uint16, "float32": np.uint32, "float64": np.uint64}


def dtype_of(name: str) -> np.dtype:
    """NumPy's dtype; 'bfloat16' is that of ml_dtypes."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def array(values: object, dtype: str) -> np.ndarray:
    return np.array(values, dtype_of(dtype))


def zeros(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.zeros(shape, dtype_of(dtype))


def bits(patterns: object, dtype: str) -> np.ndarray:
    """Floating-point numbers by their bit patterns: NaN payloads and signs, subnormals."""
    return np.array(patterns, BITS[dtype]).view(dtype_of(dtype))


def sixtyfourths(seed: int, shape: tuple[int, ...], dtype: str, top: int = 256) -> np.ndarray:
    """Integers in [0, top] over 64: exact in every dtype, and so are their sums in float32, in any order."""
    return (np.random.default_rng(seed).integers(0, top, shape, endpoint=True) / 64).astype(dtype_of(dtype))


def normal(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype_of(dtype))


def softmax_rows(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Rows of attention as an encoder makes them: the softmax of logits with a standard deviation of 2, CLS dropped."""
    logits = 2 * np.random.default_rng(seed).standard_normal((*shape[:-1], shape[-1] + 1))
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True))[..., 1:].astype(dtype_of(dtype))


def every_row(alphabet: tuple[float, ...], tokens: int, dtype: str) -> np.ndarray:
    """All sequences of `tokens` letters, one a row."""
    return np.array(np.meshgrid(*[alphabet] * tokens, indexing="ij"), dtype_of(dtype)).reshape(tokens, -1).T.copy()


def unit_tokens(seed: int, shape: tuple[int, ...], dtype: str, distinct: int = 64) -> np.ndarray:
    """Vectors of 16 with four entries of +-1/2, times 1, 2 or 4: their lengths and cosines are exact, and often equal.

    `shape` without the 16. Of at most `distinct` vectors, so that some tokens are equal.
    """
    rng = np.random.default_rng(seed)
    blocks = np.eye(4)[rng.integers(0, 4, (distinct, 4))] * rng.choice([-0.5, 0.5], (distinct, 4, 1))
    vectors = blocks.reshape(distinct, 16) * rng.choice([1.0, 2.0, 4.0], (distinct, 1))
    return vectors[rng.integers(0, distinct, shape)].astype(dtype_of(dtype))


def heads_of(tokens: np.ndarray, heads: int) -> np.ndarray:
    """The same keys in all heads: their mean is exact."""
    return np.repeat(tokens[:, :, None], heads, axis=2)


def of_tile(vector: np.ndarray, tokens: int) -> np.ndarray:
    """(batch dim) -> (batch tokens dim): one vector for all tokens of a tile."""
    return np.repeat(vector[:, None], tokens, axis=1)


def places(batch: int, side: int) -> np.ndarray:
    """Row and column of every token of a square tile."""
    grid = np.stack(np.divmod(np.arange(side * side, dtype=np.int32), np.int32(side)), -1)
    return np.repeat(grid[None], batch, axis=0)


def special_tokens(cls_attention: np.ndarray, special: float) -> np.ndarray:
    """A copy with a special number in every 5th token: in all layers, in the last, or in one head of that."""
    out = cls_attention.copy()
    out[..., ::15] = special
    out[-1, ..., 5::15] = special
    out[-1, :, 0, 10::15] = special
    return out


def special_scores(scores: np.ndarray) -> np.ndarray:
    """A copy with NaN, infinities and zeros of both signs at every 7th place, in turn."""
    out = scores.copy()
    for offset, special in enumerate((np.nan, np.inf, -np.inf, -0.0, 0.0)):
        out.reshape(-1)[7 * offset :: 35] = special
    return out


def all_tokens(batch: int, tokens: int) -> np.ndarray:
    return np.tile(np.arange(tokens), (batch, 1))


def only_row(array: np.ndarray, row: int, axis: int) -> np.ndarray:
    """A copy with NaN in all rows but one."""
    poisoned = np.full_like(array, np.nan)
    picked = (slice(None),) * axis + (row,)
    poisoned[picked] = array[picked]
    return poisoned


def wide(dtype: str) -> str:
    """The dtype of accumulation: float32 at least."""
    return "float64" if dtype == "float64" else "float32"


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype_of(dtype))


def some_tokens(seed: int, shape: tuple[int, int], keep: int) -> np.ndarray:
    """`keep` of the tokens in each row, in raster order, as int32: every framework has it."""
    shuffled = np.random.default_rng(seed).permuted(np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1)), axis=1)
    return np.sort(shuffled[:, :keep], axis=1)


def taken(features: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Tokens by their indices, in a plain loop."""
    out = np.empty((*indices.shape, features.shape[2]), features.dtype)
    for b, row in enumerate(indices):
        for k, token in enumerate(row):
            out[b, k] = features[b, token]
    return out


def first_of_the_highest(scores: np.ndarray) -> np.ndarray:
    """S3 for one token, as a loop that a reader can check: NaN never beats anything."""
    best = np.zeros((len(scores), 1), int)
    for row, of_row in enumerate(scores.astype(np.float64)):
        for token, x in enumerate(of_row):
            highest = of_row[best[row, 0]]
            if x > highest or (np.isnan(highest) and not np.isnan(x)):
                best[row, 0] = token
    return best
