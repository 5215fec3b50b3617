"""Data in files: JSON lines, CSV, parquet, or pictures with questions that are asked of each.

What a row lacks is told by the row, and the others are used; what the file lacks is refused.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from vtc_encode import Refused, open_source
from vtc_encode.sources import Source
from vtc_pictures import Unreadable, read_picture, short, visible, why_unreadable

from .parquet import ParquetRows
from .rows import sample_of
from .samples import Data, Sample, Skip

JSON_LINES, CSV, PARQUET = (".jsonl", ".ndjson", ".json"), (".csv",), (".parquet",)


def open_data(where: str, questions: Sequence[str] = ()) -> Data:
    """Look at DATA and count its rows; no picture is read.

    Args:
        where: a .jsonl, .csv or .parquet file with `image` and `question` (and, if known, `answer`) in each row; with
            `questions` a folder, glob, tar or parquet file of pictures, as `vtc encode` takes them.
        questions: asked of every picture.

    Paths of pictures are relative to the folder of the data file.

    Raises:
        Refused: nothing there, or nothing that samples can be made of.
    """
    if questions:
        return Asked(open_source(where), questions, where)
    path = Path(where)
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return ParquetRows(path)
    if suffix in JSON_LINES:
        return Rows(path, list(_json_rows(_text(path))))
    if suffix in CSV:
        return Rows(path, list(_csv(path, _text(path))))
    raise Refused(f"{where} must be a .jsonl, .csv or .parquet file; of a folder of pictures, pass --question")


class Rows:
    """Rows of a text file: what each says, or what is wrong with it."""

    def __init__(self, path: Path, rows: list[dict[str, Any] | Unreadable]) -> None:
        self.name, self.folder, self.rows = str(path), path.absolute().parent, rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, numbers: Sequence[int]) -> Iterable[Sample | Skip]:
        for number in numbers:
            yield sample_of(self.folder, f"row {number + 1}", self.rows[number])


class Asked:
    """The same questions of every picture."""

    def __init__(self, source: Source, questions: Sequence[str], name: str) -> None:
        self.name, self.source, self.questions = name, source, questions

    def __len__(self) -> int:
        return self.source.count * len(self.questions)

    def read(self, numbers: Sequence[int]) -> Iterable[Sample]:
        for number in numbers:
            at, asked = divmod(number, len(self.questions))
            (picture,) = self.source.read(at, at + 1)
            yield Sample(visible(picture.id), partial(_opened, picture.open), self.questions[asked])


def _opened(opener: Any) -> Image.Image:
    with opener() as file:
        return read_picture(file)


def _text(path: Path) -> str:
    r"""A file's text; bytes that are no UTF-8 stay marked, for the row they are in."""
    try:
        return path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except (OSError, ValueError) as error:
        raise Refused(f"{short(path)} {why_unreadable(error)}") from error


def _json_rows(text: str) -> Iterator[dict[str, Any] | Unreadable]:
    """An object a line, or one array of objects."""
    lines = [text] if text.lstrip().startswith("[") else filter(str.strip, text.split("\n"))
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield _not_utf8(line) or Unreadable(f"is not JSON ({short(error)})")
            continue
        for row in value if isinstance(value, list) else [value]:
            if isinstance(row, dict):
                yield _not_utf8("".join(map(str, row.values()))) or row
            else:
                yield Unreadable("is no JSON object")


def _csv(path: Path, text: str) -> Iterator[dict[str, Any] | Unreadable]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    head = next(_parsed(lines), [])
    if missing := [name for name in ("image", "question") if name not in head]:
        raise Refused(f"{short(path)} has no column {' and '.join(missing)}: its first line is {short(','.join(head))}")
    for row in _parsed(lines):
        if isinstance(row, Unreadable):
            yield row
        elif row:  # no blank line
            wrong = None if len(row) == len(head) else Unreadable(f"has {len(row)} columns, the first line {len(head)}")
            yield _not_utf8("".join(row)) or wrong or dict(zip(head, row, strict=True))


def _parsed(lines: Iterator[list[str]]) -> Iterator[Any]:
    while True:
        try:
            yield next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield Unreadable(f"is not CSV ({error})")


def _not_utf8(text: str) -> Unreadable | None:
    if any("\udc80" <= letter <= "\udcff" for letter in text):
        return Unreadable("is not UTF-8")
    return None
