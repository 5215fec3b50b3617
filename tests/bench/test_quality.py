"""The tables and the picture of benchmarks/quality.py, from made-up figures; and that its answers are the library's."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtc_core.methods import METHODS, method_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("quality_tables")


def figures():
    """Of 100 questions; every method of the catalogue has 2 right answers fewer than the one before it."""
    rights = {name: 90 - 2 * number for number, name in enumerate(METHODS)} | {"vtc-cls:layers=2": 91}
    right = {name: {"72": {"a": 50, "b": 45}, "16": {"a": 50, "b": r - 50}} for name, r in rights.items()}
    hit = {name: dict.fromkeys(of, 0.75) for name, of in right.items()} | {"all": {"144": 1.0}}
    cost = {"largest": 1e6, "peak": 2.5e6} | {f"{x}, batch {b}": b / 8 for x in ("ms", "of encoder") for b in (1, 4)}
    return {
        "tokens": 144,
        "pictures": 7,
        "asked": {"a": 50, "b": 50},
        "right": {"all": {"144": {"a": 50, "b": 49}}, **right},
        "hit": hit,
        "costs": {"vtc-cls": cost},
    }


def test_the_best_come_first_and_other_parameters_apart(tables):
    text = tables.body(figures(), Path("plots/quality.png"))
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    first = next(i for i, row in enumerate(rows) if row[0] == "| vtc-cls")
    shown = [row[0].strip("| *") for row in rows[first : first + len(METHODS)]]
    assert shown == list(METHODS)
    assert rows[first][1:] == ["95.0 (88.8-97.8)", "90.0 (82.6-94.5) |"]  # Wilson's interval, by hand
    assert [row[0] for row in rows].count("| vtc-cls:layers=2") == 1
    assert "99.0 (94.6-99.8)" in text
    assert "| vtc-cls | 0.125 | 12.50% | 0.5 | 50.00% | 1.00 | 2.50 |" in text
    assert "(plots/quality.png)" in text


def test_an_object_is_hit_by_one_patch(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    quality = importlib.import_module("quality")
    cells = np.array([[9, 3, 3, 5, 9], [9, 9, 9, 9, 8]])  # objects in cells 3, 5 and 8
    assert quality.hit(cells, np.array([[1, 2], [-1, 0]])) == 1 / 3
    assert quality.hit(cells, np.array([[2, 3], [4, -1]])) == 1


def test_labels_are_apart_and_near_their_lines(tables):
    heights = {"a": 50.0, "b": 51.0, "c": 50.5, "d": 80.0}
    assert tables._apart(heights, 4.0) == {"a": 46.5, "c": 50.5, "b": 54.5, "d": 80.0}


def test_the_picture_can_be_opened(tables, tmp_path):
    tables.draw(figures(), tmp_path / "quality.png")
    with Image.open(tmp_path / "quality.png") as plot:
        assert plot.size == (1600, 1100)


@pytest.mark.parametrize("method", ["vtc-cls", "visionzip", "flowcut", "mmtok"])
def test_answers_are_those_of_the_patched_model(monkeypatch, method):
    monkeypatch.syspath_prepend(BENCHMARKS)
    quality = importlib.import_module("quality")
    monkeypatch.setattr(quality, "DIVISORS", (18,))
    monkeypatch.setattr(quality, "CHECKED", 8)
    (made,) = quality.answers([method_of(method)], 16)  # which checks itself
    assert made["right"][method].keys() == {"8"}
    assert sum(made["asked"].values()) == 16
