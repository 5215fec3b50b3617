"""Where a setting leads the model astray: the samples whose answers changed most, with what was kept of the picture."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from vtc_llava import patch
from vtc_llava.showing import shown_by_model

from .report import Report
from .samples import Sample

SHOWN = 8
SIDE = 448  # pixels of a picture's longer side on the page, at most


class Disagreement(NamedTuple):
    id: str
    question: str
    unpruned: str
    pruned: str
    right: str | None
    loyalty: float
    whole: str  # data: URLs of PNGs
    kept: str


@torch.inference_mode()
def worst(report: Report, model: Any, processor: Any, samples: Sequence[Sample]) -> list[Disagreement]:
    """Of the best setting: least agreement first, and of those least loyalty."""
    setting = report.best.setting
    unpruned, pruned = (_rows(report, *key) for key in ((None, None, None), _key(report)))
    numbers = [row["sample"] for row in pruned if row["agreement"] < 1]
    numbers.sort(key=lambda i: (pruned[i]["agreement"], pruned[i]["loyalty"], i))
    found = []
    with patch(model, processor, setting.keep, total=setting.total, method=setting.method) as handle:
        for i in numbers[:SHOWN]:
            canvas = shown_by_model(handle, samples[i].picture(), None).canvas
            row, images = pruned[i], (data_url(canvas.whole()), data_url(canvas.darkened()))
            answers = unpruned[i]["answer"], row["answer"], samples[i].answer
            found.append(Disagreement(row["id"], row["question"], *answers, row["loyalty"], *images))
    return found


def _key(report: Report) -> tuple[Any, ...]:
    return report.best.method, report.best.setting.keep, report.best.setting.total


def _rows(report: Report, *key: Any) -> list[dict[str, Any]]:
    """Of one setting, by sample."""
    rows = [row for row in report.rows.to_pylist() if (row["method"], row["keep"], row["total"]) == key]
    return sorted(rows, key=lambda row: row["sample"])


def data_url(pixels: np.ndarray) -> str:
    """Of a PNG of (height width 4) pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    image.save(file := io.BytesIO(), "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
