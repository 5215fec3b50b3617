"""`RESULTS.md`: one section a benchmark, replaced when that benchmark runs again, with machine, versions and date."""

import re
from pathlib import Path

from vtc_bench.machine import machine

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = "# Results\n\nEvery section is written by the command that it names.\n"


def write_section(title: str, command: str, body: str, packages: tuple[str, ...]) -> None:
    """Put `body` (markdown) under `## title`, in place of what was there, or at the end."""
    text = RESULTS.read_text() if RESULTS.exists() else HEAD
    section = f"## {title}\n\n`{command}`, on {machine(packages)}\n\n{body.strip()}\n"
    there = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    text = there.sub(lambda _: f"{section}\n", text) if there.search(text) else f"{text.rstrip()}\n\n{section}"
    RESULTS.write_text(f"{text.rstrip()}\n")
