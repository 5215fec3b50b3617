"""One row of a table, whatever is in it, to a sample or to what is wrong with it."""

from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from vtc_encode.tables import open_value
from vtc_pictures import Unreadable, read_picture, short

from .samples import Sample, Skip


def sample_of(folder: Path, id: str, row: dict[str, Any] | Unreadable) -> Sample | Skip:
    """One row, whatever is in it."""
    if isinstance(row, Unreadable):
        return Skip(id, str(row))
    image, question, answer = (row.get(name) for name in ("image", "question", "answer"))
    if isinstance(image, str):
        id = f"{id}: {short(image)}"
    if image is None or image == "":
        return Skip(id, "has no image")
    if not isinstance(question, str):
        return Skip(id, "has no question" if question is None else f"has a {type(question).__name__} as its question")
    if any("\ud800" <= letter <= "\udfff" for letter in question):
        return Skip(id, "has half a letter in its question")
    if answer is not None and not isinstance(answer, str | int | float):
        return Skip(id, f"has a {type(answer).__name__} as its answer, which must be text")
    return Sample(id, partial(_picture, folder, image), question, None if answer in (None, "") else str(answer))


def _picture(folder: Path, image: Any) -> Image.Image:
    with open_value(folder, image) as file:
        return read_picture(file)
