"""Which processes a server leaves behind."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

MARK = "VTC_TEST_MARK"


@contextmanager
def left_behind() -> Iterator[Callable[[], list[str]]]:
    """A function that finds what was started within the block, or by what was, and still runs: its command lines."""
    before, os.environ[MARK] = os.environ.get(MARK), uuid.uuid4().hex
    mark = os.environ[MARK]

    def find() -> list[str]:
        return [" ".join(process.cmdline()) for process in psutil.process_iter() if _environment(process) == mark]

    try:
        yield find
    finally:
        del os.environ[MARK]
        if before is not None:
            os.environ[MARK] = before


def _environment(process: psutil.Process) -> str | None:
    if process.pid == os.getpid():
        return None
    try:
        return process.environ().get(MARK)
    except psutil.Error:  # gone, a zombie, or somebody else's
        return None
