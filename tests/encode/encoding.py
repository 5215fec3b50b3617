"""How the tests here encode a corpus and read it back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vtc_encode import Worker, corpus, local, open_source
from vtc_encode.corpus import Done

SCENES = 26
BROKEN = {  # id -> how its reason begins
    "cut.png": "is damaged or truncated (",
    "sub/text.jpg": "is not a picture that can be read",
    "zero.webp": "is empty (0 bytes)",
}


def run(worker: Worker, words: Path | str, out: Path, shard_size: int = 8, engine: Any = local, **how: Any) -> Done:
    """What the command does."""
    source = open_source(str(words))
    with corpus.prepare(out, worker.settings(source, shard_size), **how) as plan:
        return corpus.encode(worker, source, out, plan, lambda count: None, engine)


def contents(out: Path) -> dict[str, bytes]:
    """Every file that a reader may look at, to the bit."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.name != ".lock"}


def rows(out: Path) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    """Ids, features, indices, scores and settings, as somebody with pyarrow alone reads them."""
    table = pq.read_table(sorted(out.glob("features-*.parquet")))
    arrays = [table[name].combine_chunks() for name in ("features", "indices", "scores")]
    assert all(isinstance(array, pa.FixedShapeTensorArray) for array in arrays)
    features, indices, scores = (array.to_numpy_ndarray() for array in arrays)
    return table["id"].to_pylist(), features, indices, scores, json.loads(table.schema.metadata[b"vtc"])


def skipped(out: Path) -> dict[str, str]:
    table = pq.read_table(out / "skipped.parquet")
    return dict(zip(table["id"].to_pylist(), table["reason"].to_pylist(), strict=True))
