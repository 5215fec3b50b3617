"""`RESULTS.md`: one section a benchmark, replaced when that benchmark runs again, with machine, versions and date."""

import datetime
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = "# Results\n\nEvery section is written by the command that it names.\n"


def write_section(title: str, command: str, body: str, packages: tuple[str, ...]) -> None:
    """Put `body` (markdown) under `## title`, in place of what was there."""
    text = RESULTS.read_text() if RESULTS.exists() else HEAD
    section = f"## {title}\n\n`{command}`, {machine(packages)}\n\n{body.strip()}\n"
    rest = re.sub(rf"## {re.escape(title)}\n.*?(?=^## |\Z)", "", text, flags=re.DOTALL | re.MULTILINE).rstrip()
    RESULTS.write_text(f"{rest}\n\n{section}")


def machine(packages: tuple[str, ...]) -> str:
    """Processor, cores, versions and date."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    today = datetime.datetime.now(datetime.UTC).date()
    return f"on {_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}; {today}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.*)", cpuinfo.read_text())):
        return found[1]
    return platform.processor() or platform.machine()
