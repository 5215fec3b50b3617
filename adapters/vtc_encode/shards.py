"""Shards: parquet files that are written whole, and that say themselves what they hold.

There is no other record of what is done. Shard i holds the pictures at positions i * shard_size to (i + 1) * shard_size
of INPUT; its schema metadata holds the settings (key `vtc`), the pictures that were skipped (key `vtc.skipped`) and i
(key `vtc.number`). Its pages have checksums.
"""

import json
import math
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Float32, Int32

from .refused import Refused

PATTERN, TEMPORARY = "features-*.parquet", ".*.parquet.*.tmp"
SKIPPED = "skipped.parquet"  # written last: where it is, all shards are

ROWS = 32  # read at once

Skip = tuple[str, str]  # id, reason


@dataclass(frozen=True)
class Settings:
    """What the rows are, and of what: the JSON under `vtc` in every shard's schema metadata."""

    checkpoint: str  # folder or hub id, as it was given
    weights: str  # digest of the vision tower's
    keep: int
    tokens: int
    dim: int
    method: dict[str, object]  # its name and parameters
    layers: tuple[int, ...]  # that it looks at
    feature_layer: tuple[int, ...]  # numbers of hidden states, as in hidden_states[i]
    projected: bool  # False: features as the encoder makes them, before a LLaVA's projector
    decoded: str  # "whole", or "fast": large JPEGs at a fraction of their size
    computed: str  # dtype of the encoder's arithmetic, and whether packed
    dtype: str  # of the stored features
    input: str  # digest of INPUT
    pictures: int  # in INPUT, unreadable ones included
    shard_size: int
    vtc: str  # version

    @property
    def shards(self) -> int:
        return math.ceil(self.pictures / self.shard_size)

    def span(self, number: int) -> tuple[int, int]:
        """Positions in INPUT, start and stop."""
        start = number * self.shard_size
        return start, min(start + self.shard_size, self.pictures)

    @property
    def schema(self) -> pa.Schema:
        features = pa.from_numpy_dtype(np.dtype(self.dtype))
        return pa.schema(
            [
                ("id", pa.string()),
                ("features", pa.fixed_shape_tensor(features, (self.keep, self.dim))),
                ("indices", pa.fixed_shape_tensor(pa.int32(), (self.keep,))),
                ("scores", pa.fixed_shape_tensor(pa.float32(), (self.tokens,))),
            ],
            {"vtc": json.dumps(asdict(self))},
        )


class Rows(NamedTuple):
    """The readable pictures of a shard, in the order of INPUT, and the others."""

    ids: list[str]
    features: Float[np.ndarray, "rows keep dim"]
    indices: Int32[np.ndarray, "rows keep"]
    scores: Float32[np.ndarray, "rows tokens"]
    skipped: list[Skip]


class Outcome(NamedTuple):
    """What became of one shard in this run."""

    number: int
    encoded: int  # pictures
    skipped: int  # pictures
    seconds: float  # in the encoder


def path_of(out: Path, number: int) -> Path:
    return out / f"features-{number:06d}.parquet"


def number_of(path: Path) -> int:
    """Of a shard that `read_record` takes for one."""
    return int(path.stem.rpartition("-")[2])


def write(out: Path, number: int, settings: Settings, rows: Rows) -> None:
    schema = settings.schema
    columns = [pa.array(rows.ids, pa.string())]
    for name in schema.names[1:]:
        columns.append(_tensors(getattr(rows, name), schema.field(name).type))
    metadata = {
        **(schema.metadata or {}),
        b"vtc.skipped": json.dumps(rows.skipped).encode(),
        b"vtc.number": str(number).encode(),
    }
    write_whole(path_of(out, number), pa.table(columns, schema=schema.with_metadata(metadata)))


def write_whole(path: Path, table: pa.Table) -> None:
    """All of it or nothing, whatever happens: a file of another name, onto the disk, renamed."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            pq.write_table(
                table, file, compression="zstd", use_dictionary=False, write_statistics=False, write_page_checksum=True
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read_record(path: Path) -> tuple[dict[str, object], list[Skip], int]:
    """Of a shard: settings, skipped pictures, number of rows. From its footer alone.

    Raises:
        Refused: not a whole shard, which `write` never leaves, or another one under this name.
    """
    try:
        with path.open("rb") as opened, pq.ParquetFile(opened) as file:  # pyarrow takes no name that is not UTF-8
            schema, rows = file.schema_arrow, file.metadata.num_rows
        settings, skipped = (json.loads(schema.metadata[key]) for key in (b"vtc", b"vtc.skipped"))
        number = int(schema.metadata[b"vtc.number"])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"{path} is not a shard that vtc encode wrote, or is damaged: remove it") from error
    if path.name != path_of(path.parent, number).name:
        raise Refused(f"{path} is shard {number} under another name: remove it")
    return settings, [(name, reason) for name, reason in skipped], rows


def check_pages(path: Path) -> None:
    """Read a shard through, a few rows at a time.

    Raises:
        Refused: a byte of its pages is not what was written.
    """
    try:
        with path.open("rb") as opened, pq.ParquetFile(opened, page_checksum_verification=True) as file:
            for _ in file.iter_batches(ROWS):
                pass
    except (pa.ArrowException, OSError) as error:
        raise Refused(f"{path} is damaged since it was written: remove it") from error


def write_skipped(out: Path, skipped: Sequence[Skip]) -> None:
    names, reasons = ([skip[i] for skip in skipped] for i in (0, 1))
    columns = {"id": pa.array(names, pa.string()), "reason": pa.array(reasons, pa.string())}
    write_whole(out / SKIPPED, pa.table(columns))


def _tensors(array: np.ndarray, kind: pa.DataType) -> pa.Array:
    """(rows, ...) as a column of tensors; pyarrow's own `from_numpy_ndarray` refuses 0 rows."""
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    return pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(flat, math.prod(array.shape[1:])))


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk when its folder is; not every system can open folders."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
