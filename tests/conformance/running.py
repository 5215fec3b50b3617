"""Running the suite as a stranger does: a process of its own, in a folder of its own, with no settings of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Ran(NamedTuple):
    code: int
    output: str
    tests: list[dict[str, Any]]  # of the report

    def failed(self, backend: str) -> list[dict[str, Any]]:
        return [test for test in self.tests if test["backend"] == backend and test["outcome"] == "failed"]


def run_suite(folder: Path, *arguments: str, **environment: str) -> Ran:
    report = folder / "report.json"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "-c", os.devnull]
    command += ["--rootdir", str(folder), "--pyargs", "vtc_conformance", "--vtc-report", str(report), *arguments]
    env = os.environ | environment
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return Ran(done.returncode, done.stdout, json.loads(report.read_text())["tests"] if report.exists() else [])
