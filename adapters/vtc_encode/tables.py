"""Pictures in a parquet file, as bytes or as paths."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from vtc_pictures import Unreadable, open_file, short

from .pictures import Picture, digest
from .refused import Refused

PATHS = ("path", "file", "file_name", "filename", "filepath", "image", "image_path")  # columns that name files
ROWS = 32  # read at once
URL = re.compile(r"([a-z][a-z0-9+.-]+)://|(data):", re.IGNORECASE)
LONGEST = 4096  # bytes of a path, where they may be longest: what is longer is a picture in letters


@dataclass
class Table:
    path: Path  # absolute; paths in the table are relative to its folder
    column: str
    id_column: str | None
    count: int
    digest: str
    others: int = 0
    _at: int = field(default=-1, repr=False)  # the row that `_rows` gives next
    _rows: Iterator[tuple[int, Any, Any]] = field(default=iter(()), repr=False)

    def read(self, start: int, stop: int) -> Iterator[Picture]:
        """One span after the other is one pass over the file, however large its row groups are."""
        if start != self._at:
            self._rows = self._from(start)
        self._at = -1
        for row, name, value in islice(self._rows, stop - start):
            yield Picture(str(row) if name is None else str(name), partial(open_value, self.path.parent, value))
        self._at = stop

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_at": -1, "_rows": iter(())}  # a generator cannot be pickled

    def _from(self, start: int) -> Iterator[tuple[int, Any, Any]]:
        """(row, id, value) from row `start` on."""
        columns = [self.column] + ([self.id_column] if self.id_column else [])
        with self.path.open("rb") as opened, pq.ParquetFile(opened) as file:
            group, row = 0, 0
            while row + (rows := file.metadata.row_group(group).num_rows) <= start:
                group, row = group + 1, row + rows
            groups = list(range(group, file.num_row_groups))
            for batch in file.iter_batches(ROWS, groups, columns):
                skipped = min(max(start - row, 0), len(batch))
                for i in range(skipped, len(batch)):
                    value = plain(batch.column(self.column)[i])
                    name = plain(batch.column(self.id_column)[i]) if self.id_column else _name(value)
                    yield row + i, None if isinstance(name, Unreadable) else name, value
                row += len(batch)


def of_parquet(path: Path, column: str | None = None) -> Table:
    """All rows of a parquet file.

    Pictures are bytes, paths, or pairs of both as in Hugging Face datasets. An id is what the column `id` holds, else
    the path, else the number of the row.
    """
    try:
        with path.open("rb") as opened, pq.ParquetFile(opened) as file:  # pyarrow takes no name that is not UTF-8
            schema, count = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:  # pyarrow says of damaged files what it says of damaged disks
        raise Refused(f"{path} is no parquet file that can be read ({short(error)})") from error
    chosen = _choose(path, schema, column)
    id_column = "id" if "id" in schema.names and chosen != "id" else None
    state = path.stat()
    return Table(path.absolute(), chosen, id_column, count, digest([chosen, count, state.st_size, state.st_mtime_ns]))


def _choose(path: Path, schema: pa.Schema, column: str | None) -> str:
    bytes_in = [f.name for f in schema if _holds_bytes(f.type)]
    paths_in = [f.name for f in schema if _text(f.type)]
    if column is not None:
        if column in bytes_in + paths_in:
            return column
        raise Refused(f"--column {column}: {path} has no such column of bytes or paths, but {_listed(schema)}")
    for fits in (bytes_in, [name for name in paths_in if name.lower() in PATHS]):
        if len(fits) == 1:
            return fits[0]
    raise Refused(f"which column of {path} holds the pictures? Pass --column; there are {_listed(schema)}")


def _holds_bytes(kind: pa.DataType) -> bool:
    kind = _of_values(kind)
    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _text(kind: pa.DataType) -> bool:
    kind = _of_values(kind)
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_list(kind: pa.DataType) -> bool:
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _of_values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if types.is_dictionary(kind) else kind


def _listed(schema: pa.Schema) -> str:
    listed = ", ".join(f"{f.name} ({f.type})" for f in schema) or "none"
    if lists := [
        f.name for f in schema if _is_list(f.type) and (_text(f.type.value_type) or _holds_bytes(f.type.value_type))
    ]:
        listed += f"; {' and '.join(lists)} holds lists, and a row is one picture here: unnest them first"
    return listed


def plain(value: pa.Scalar) -> Any:
    """As Python has it, or why it has nothing like it: text that is not UTF-8, a time beyond its calendar."""
    try:
        return value.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return Unreadable(f"is no {value.type} that can be read")


def _path(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("path")
    return value if isinstance(value, str) else None


def _name(value: Any) -> str | None:
    """A path that may serve as an id."""
    path = _path(value)
    return None if path is None or _no_path(path) else path


def _no_path(text: str) -> str | None:
    """What a text is that is no path, if that can be told."""
    if url := URL.match(text):
        scheme = (url[1] or url[2]).lower()
        return f"is a URL ({scheme}:), not a path" + (": decode it into bytes" if scheme == "data" else "")
    if len(text) > LONGEST:
        return f"is {len(text):,} letters, no path: if they are base64, decode them into bytes"
    return None


def open_value(folder: Path, value: Any) -> io.BufferedIOBase:
    """What a cell says the picture is: bytes, a path below `folder`, or a pair of both; `Unreadable` if neither."""
    if isinstance(value, Unreadable):
        raise value
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes):
        return io.BytesIO(data)
    if (path := _path(value)) is None:
        raise Unreadable("is null" if data is None else f"is a {type(data).__name__}, neither bytes nor a path")
    if no_path := _no_path(path):
        raise Unreadable(no_path)
    return open_file(folder / path)
