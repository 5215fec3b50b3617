"""`vtc check`: the conformance suite over some backends, as a table of clauses x backends or as JSON."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

CLAUSES = {
    "S1": "attend",
    "S2": "score",
    "S3": "select",
    "S4": "keep",
    "S5": "gather",
    "S6": "layers",
    "S7": "independence",
    "S8": "exactness of the encoder",
    "S9": "determinism",
    "METHODS": "methods of the catalogue",
    "ERRORS": "refusals",
    "PROTOCOL": "names and arrays",
}
OUTCOMES = ("passed", "failed", "xfailed")


def run(backends: list[str], as_json: bool, xfails: Path | None) -> int:
    """Run the suite and print what came out; 0 all green, 1 something failed, 2 bad usage."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        code, output = _run_suite(backends, xfails, report)
        tests = json.loads(report.read_text())["tests"] if report.exists() else []
    if code not in (0, 1) or not tests:  # pytest's own codes: interrupted, internal error, usage, nothing collected
        print((output.strip().splitlines() or ["no test ran"])[-1].removeprefix("ERROR: "), file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps({"counts": _counts(tests), "tests": tests}, indent=1))
    else:
        _print_table(backends, tests)
    return code


def _run_suite(backends: list[str], xfails: Path | None, report: Path) -> tuple[int, str]:
    """In a process of its own, and with none of the pytest settings of the folder it is called from."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-c", os.devnull, "-p", "no:cacheprovider"]
    command += ["--rootdir", str(report.parent), "--pyargs", "vtc_conformance", "--vtc-report", str(report)]
    command += [part for backend in backends for part in ("--vtc-backend", backend)]
    command += ["--vtc-xfails", str(xfails.absolute())] if xfails else []
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def _counts(tests: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    """backend -> clause -> outcome -> how many"""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for test in tests:
        counts.setdefault(test["backend"], {}).setdefault(test["clause"], Counter())[test["outcome"]] += 1
    return {
        backend: {clause: {outcome: counter[outcome] for outcome in OUTCOMES} for clause, counter in clauses.items()}
        for backend, clauses in counts.items()
    }


def _print_table(backends: list[str], tests: list[dict[str, Any]]) -> None:
    counts = _counts(tests)
    table = Table("clause", "", *dict.fromkeys(backends))
    for clause, about in CLAUSES.items():
        table.add_row(
            clause, about, *(_cell(counts.get(backend, {}).get(clause)) for backend in dict.fromkeys(backends))
        )
    console = Console()
    console.print(table)
    failures = [test for test in tests if test["outcome"] == "failed"]
    for backend in counts:
        first = next((test for test in failures if test["backend"] == backend), None)
        if first:
            console.print(f"\n{first['test']}\n{first['message']}", markup=False, highlight=False, soft_wrap=True)


def _cell(counts: dict[str, int] | None) -> str:
    if counts is None:
        return "[dim]does not apply[/]"
    parts = [f"[green]{counts['passed']} passed[/]"] if counts["passed"] else []
    parts += [f"[red]{counts['failed']} failed[/]"] if counts["failed"] else []
    parts += [f"[yellow]{counts['xfailed']} expected to fail[/]"] if counts["xfailed"] else []
    return ", ".join(parts)
