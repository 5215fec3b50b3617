"""Samples in a parquet file: words are read at once, pictures of those rows that were drawn."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vtc_encode import Refused
from vtc_encode.tables import plain
from vtc_pictures import Unreadable, short

from .rows import sample_of
from .samples import Sample, Skip

ROWS = 32  # read at once


class ParquetRows:
    """Rows with `image` (bytes, a path, or both as in Hugging Face datasets), `question`, and maybe `answer`."""

    def __init__(self, path: Path) -> None:
        self.name, self.path = str(path), path
        try:
            with path.open("rb") as opened, pq.ParquetFile(opened) as file:  # pyarrow takes no name that is not UTF-8
                names, self.count = file.schema_arrow.names, file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise Refused(f"{short(path)} is no parquet file that can be read ({short(error)})") from error
        if missing := [name for name in ("image", "question") if name not in names]:
            there = ", ".join(names)
            raise Refused(f"{short(path)} has no column {' and '.join(missing)}: it has {short(there)}")
        self.columns = [name for name in ("image", "question", "answer") if name in names]

    def __len__(self) -> int:
        return self.count

    def read(self, numbers: Sequence[int]) -> Iterable[Sample | Skip]:
        rows = self._rows(set(numbers))
        for number in numbers:
            yield sample_of(self.path.absolute().parent, f"row {number + 1}", rows[number])

    def _rows(self, numbers: set[int]) -> dict[int, dict[str, Any] | Unreadable]:
        """One pass over the row groups that they are in."""
        found: dict[int, dict[str, Any] | Unreadable] = {}
        with self.path.open("rb") as opened, pq.ParquetFile(opened) as file:
            row = 0
            for group in range(file.num_row_groups):
                stop = row + file.metadata.row_group(group).num_rows
                if not numbers.isdisjoint(range(row, stop)):
                    for batch in file.iter_batches(ROWS, [group], self.columns):
                        for i in numbers.intersection(range(row, row + len(batch))):
                            found[i] = _row({name: plain(batch.column(name)[i - row]) for name in self.columns})
                        row += len(batch)
                row = stop
        return found


def _row(values: dict[str, Any]) -> dict[str, Any] | Unreadable:
    """Of cells of which some may have nothing like it in Python."""
    return next((value for value in values.values() if isinstance(value, Unreadable)), values)
