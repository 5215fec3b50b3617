"""Pictures in a parquet file, as bytes or as paths."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from vtc_pictures import Unreadable

from .pictures import Picture, digest
from .refused import Refused

PATHS = ("path", "file", "file_name", "filename", "filepath", "image", "image_path")  # columns that name files
ROWS = 32  # read at once


@dataclass
class Table:
    path: Path  # absolute; paths in the table are relative to its folder
    column: str
    id_column: str | None
    count: int
    digest: str
    _at: int = field(default=-1, repr=False)  # the row that `_rows` gives next
    _rows: Iterator[tuple[int, Any, Any]] = field(default=iter(()), repr=False)

    def read(self, start: int, stop: int) -> Iterator[Picture]:
        """One span after the other is one pass over the file, however large its row groups are."""
        if start != self._at:
            self._rows = self._from(start)
        self._at = -1
        for row, name, value in islice(self._rows, stop - start):
            yield Picture(str(row) if name is None else str(name), partial(_open, self.path.parent, value))
        self._at = stop

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_at": -1, "_rows": iter(())}  # a generator cannot be pickled

    def _from(self, start: int) -> Iterator[tuple[int, Any, Any]]:
        """(row, id, value) from row `start` on."""
        columns = [self.column] + ([self.id_column] if self.id_column else [])
        with pq.ParquetFile(self.path, memory_map=True) as file:
            group, row = 0, 0
            while row + (rows := file.metadata.row_group(group).num_rows) <= start:
                group, row = group + 1, row + rows
            groups = list(range(group, file.num_row_groups))
            for batch in file.iter_batches(ROWS, groups, columns):
                skipped = min(max(start - row, 0), len(batch))
                for i in range(skipped, len(batch)):
                    value = batch.column(self.column)[i].as_py()
                    name = batch.column(self.id_column)[i].as_py() if self.id_column else _path(value)
                    yield row + i, name, value
                row += len(batch)


def of_parquet(path: Path, column: str | None = None) -> Table:
    """All rows of a parquet file.

    Pictures are bytes, paths, or pairs of both as in Hugging Face datasets. An id is what the column `id` holds, else
    the path, else the number of the row.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
    except pa.ArrowInvalid as error:
        raise Refused(f"{path} is no parquet file that can be read ({error})") from error
    chosen = _choose(path, schema, column)
    id_column = "id" if "id" in schema.names and chosen != "id" else None
    state = path.stat()
    return Table(path.absolute(), chosen, id_column, count, digest([chosen, count, state.st_size, state.st_mtime_ns]))


def _choose(path: Path, schema: pa.Schema, column: str | None) -> str:
    if column is not None:
        if column in schema.names and (_holds_bytes(schema.field(column).type) or _text(schema.field(column).type)):
            return column
        raise Refused(f"--column {column}: {path} has no such column of bytes or paths, but {_listed(schema)}")
    for fits in (
        [f.name for f in schema if _holds_bytes(f.type)],
        [f.name for f in schema if _text(f.type) and f.name.lower() in PATHS],
    ):
        if len(fits) == 1:
            return fits[0]
    raise Refused(f"which column of {path} holds the pictures? Pass --column; there are {_listed(schema)}")


def _holds_bytes(kind: pa.DataType) -> bool:
    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _text(kind: pa.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _listed(schema: pa.Schema) -> str:
    return ", ".join(f"{f.name} ({f.type})" for f in schema) or "none"


def _path(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("path")
    return value if isinstance(value, str) else None


def _open(folder: Path, value: Any) -> io.BufferedIOBase:
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes):
        return io.BytesIO(data)
    if (path := _path(value)) is None:
        raise Unreadable("is null")
    return open(folder / path, "rb")
