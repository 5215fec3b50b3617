"""Work in a child process: its text, its error, or the limit that it came to; the child is gone in any case."""

import multiprocessing
import os
import time

import pytest

from vtc_cli import limited as module
from vtc_cli.limited import limited


def forever() -> str:
    while True:
        pass


def bytes_of(count: int) -> str:
    return str(len(" " * count))


@pytest.fixture(autouse=True)
def no_children_stay():
    yield
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("text", ["", "plain", "é 猫\n!", "!no error", "x" * ((1 << 20) - 1)])
def test_text_comes_back(text: str):
    assert limited(lambda: text) == text


@pytest.mark.parametrize("start_methods", [["fork", "spawn"], ["spawn"]])
def test_an_error_is_said_on_one_line(monkeypatch: pytest.MonkeyPatch, start_methods: list[str]):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: start_methods)

    def fail() -> str:
        raise KeyError("no\nsuch")

    with pytest.raises(ValueError, match=r"^fails \(KeyError: 'no\\nsuch'\)$"):
        limited(fail)
    assert limited(lambda: "text") == "text"


def test_seconds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SECONDS", 0.3)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"^takes more than 0\.3 seconds$"):
        limited(forever)
    assert time.perf_counter() - start < 5


def test_memory():
    assert limited(lambda: bytes_of(1 << 28)) == str(1 << 28)
    with pytest.raises(ValueError, match=r"^fails \(MemoryError: "):
        limited(lambda: bytes_of(3 << 29))


def test_text():
    with pytest.raises(ValueError, match=r"^makes more than 1048576 bytes of text$"):
        limited(lambda: "x" * (1 << 20))


def test_a_child_that_is_gone():
    with pytest.raises(ValueError, match=r"^ends the process that it runs in$"):
        limited(lambda: os._exit(0))
