"""Peak memory of one run in a fresh process: what it takes above the loaded model.

On the CPU the resident set is read from Linux' /proc, on CUDA the allocator's own figure.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vtc_core.methods import Method, method_of, saved

from . import torch_encoder
from .costs import Geometry

# glibc otherwise keeps freed tensors below 32 MB for later, and the resident set depends on luck.
PROMPT_FREE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def peak(g: Geometry, name: str, batch: int, keep: int, method: Method, device: str = "cpu") -> int:
    """Bytes that the run `name` of `torch_encoder.runs` takes at its peak; measured in a new process.

    Raises:
        RuntimeError: the process failed; its last line says why.
    """
    return in_a_new_process(name, "-m", "vtc_bench.memory", json.dumps([g, name, batch, keep, saved(method), device]))


def in_a_new_process(name: str, *arguments: str) -> int:
    """The number that Python prints with these arguments; `name` is for the RuntimeError of one that fails."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | PROMPT_FREE)
    if done.returncode:
        raise RuntimeError(f"measuring {name!r} failed: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
    return int(done.stdout)


def above_resident(run: Callable[[], Any]) -> int:
    """Bytes that `run` takes at its peak above what this process holds. Run it once before."""
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, the high-water mark
    run()
    return resident("VmHWM") - before


def _measure(g: Geometry, name: str, batch: int, keep: int, method: Method, device: str) -> int:
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    small = torch_encoder.pixels(g, 1, device, dtype)
    run = torch_encoder.runs(g, small, keep, method, only=(name,))[name]
    run()  # thread pools, packed weights, cuBLAS workspaces: not the run's own
    small.data = torch_encoder.pixels(g, batch, device, dtype)
    if device == "cpu":
        return above_resident(run)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_allocated() - before


def resident(field: str) -> int:
    """Bytes of this process, a `field` of Linux' /proc/self/status: VmRSS now, VmHWM at its peak."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found, f"no {field} in /proc/self/status"
    return int(found[1]) * 1024


if __name__ == "__main__":
    geometry, *numbers, method, device = json.loads(sys.argv[1])
    wanted: list[Any] = [Geometry(*geometry), *numbers, method_of(method), device]
    print(_measure(*wanted))
