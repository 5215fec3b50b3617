"""What the servers of the tests have in common, and which processes they leave behind."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import psutil

# Of the machine's memory vLLM wants 0.92 to be free by default; it takes VLLM_CPU_KVCACHE_SPACE anyway.
SMALL = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "1024", "--gpu-memory-utilization", "0.1"]
MARK = "VTC_TEST_MARK"


@contextmanager
def left_behind() -> Iterator[Callable[[], list[str]]]:
    """A function that finds what was started within the block, or by what was, and still runs: its command lines."""
    mark = uuid.uuid4().hex

    def running() -> list[str]:
        others = [process for process in psutil.process_iter() if process.pid != os.getpid()]
        return [command for process in others if (command := _command(process, mark))]

    def find() -> list[str]:
        until = time.monotonic() + 1  # what was killed needs a moment
        while (left := running()) and time.monotonic() < until:
            time.sleep(0.05)
        return left

    with patch.dict(os.environ, {MARK: mark}):
        yield find


def _command(process: psutil.Process, mark: str) -> str | None:
    try:
        return " ".join(process.cmdline()) if process.environ().get(MARK) == mark else None
    except psutil.Error:  # gone, a zombie, or somebody else's
        return None
