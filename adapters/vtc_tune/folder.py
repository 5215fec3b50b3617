"""OUT: what is done there already, and that it is of the same model, data and settings.

settings.json           what the rows are of; other settings are refused
blocks/000000.parquet   all rows of `batch_size` samples: there whole or not at all, what a killed run loses
first_token.json        times, measured once
results.parquet, skipped.parquet, report.json, report.png, report.html: made of these, anew in every run
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from vtc_cli.pictures import write_whole
from vtc_encode import Refused, shards

from .block import Row
from .samples import Skip

SETTINGS, BLOCKS, FIRST_TOKEN = "settings.json", "blocks", "first_token.json"
RESULTS, SKIPPED, REPORT, PLOT, PAGE = "results.parquet", "skipped.parquet", "report.json", "report.png", "report.html"
TEXT, NUMBER = pa.string(), pa.float64()
TYPES = {int: pa.int64(), int | None: pa.int64(), str: TEXT, str | None: TEXT, float: NUMBER, float | None: NUMBER}
SCHEMA = pa.schema([(name, TYPES[kind]) for name, kind in Row.__annotations__.items()])


class Folder(NamedTuple):
    path: Path

    def block(self, number: int) -> Path:
        return self.path / BLOCKS / f"{number:06}.parquet"

    def missing(self, count: int) -> list[int]:
        """Numbers of blocks that are not there yet."""
        return [number for number in range(count) if not self.block(number).exists()]

    def write_block(self, number: int, rows: Sequence[Row]) -> None:
        shards.write_whole(self.block(number), pa.Table.from_pylist([row._asdict() for row in rows], SCHEMA))

    def results(self, count: int) -> pa.Table:
        """The rows of all blocks, and results.parquet made of them.

        Raises:
            Refused: a block has been damaged since it was written.
        """
        tables = []
        for path in map(self.block, range(count)):
            try:
                with path.open("rb") as opened, pq.ParquetFile(opened, page_checksum_verification=True) as file:
                    tables.append(file.read())
            except (pa.ArrowException, OSError) as error:
                raise Refused(f"{path} is damaged since it was written: remove it") from error
        table = pa.concat_tables(tables)
        shards.write_whole(self.path / RESULTS, table)
        return table

    def write_skipped(self, skipped: Sequence[Skip]) -> None:
        columns = {name: pa.array([getattr(skip, name) for skip in skipped], TEXT) for name in Skip._fields}
        shards.write_whole(self.path / SKIPPED, pa.table(columns))

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What a JSON file holds; made and written if it is not there."""
        path = self.path / name
        if not path.exists():
            self.write_json(name, make())
        return _read(path)

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())

    def write(self, name: str, data: bytes) -> None:
        write_whole(self.path / name, lambda file: file.write(data))


@contextmanager
def opened(out: Path, settings: dict[str, Any], overwrite: bool = False) -> Iterator[Folder]:
    """Hold OUT for this process. Remains of killed runs are removed; with `overwrite`, all that a run has written.

    Raises:
        Refused: OUT is no folder, is held by another process, or holds results of other settings.
    """
    if out.exists() and not out.is_dir():
        raise Refused(f"{out} is a file: a folder is needed")
    (out / BLOCKS).mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(out / ".lock").acquire(blocking=False)
    except Timeout:
        raise Refused(f"{out} is being written by another vtc tune") from None
    with lock:
        for file in [*(out / BLOCKS).glob(shards.TEMPORARY), *out.glob(shards.TEMPORARY), *out.glob(".*.tmp")]:
            file.unlink(missing_ok=True)
        if overwrite:
            for name in (SETTINGS, FIRST_TOKEN, RESULTS, SKIPPED, REPORT, PLOT, PAGE):
                (out / name).unlink(missing_ok=True)
            shutil.rmtree(out / BLOCKS)
            (out / BLOCKS).mkdir()
        folder = Folder(out)
        found, wanted = folder.once(SETTINGS, lambda: settings), json.loads(json.dumps(settings))
        for name in wanted:
            if found.get(name) != wanted[name]:
                raise Refused(f"{out} holds results of {_other(name, found.get(name), wanted[name])}")
        yield folder


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise Refused(f"{path} is damaged since it was written: remove it") from error


def _other(name: str, found: Any, wanted: Any) -> str:
    """In words that fit on a line."""
    same = {"model": "another model", "data": "other samples", "settings": "other methods or budgets"}
    return same.get(name, f"{name} {found}, not {wanted}") + ": --overwrite starts anew"
