"""The pytest plugin: options, the backends named by them, the header, the report. Light: every pytest run imports it.

What concerns the tests of the suite only (parametrisation, expected failures) is in `conftest.py`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

BACKENDS = pytest.StashKey[list[Any]]()  # of protocol.Backend


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vtc", "conformance to the specification of vtc")
    group.addoption(
        "--vtc-backend", action="append", default=[], metavar="MODULE", help="a backend to hold to it; repeatable"
    )
    group.addoption(
        "--vtc-xfails", type=Path, metavar="FILE", help="its known deviations, one test a line, each with a # reason"
    )
    group.addoption("--vtc-report", type=Path, metavar="FILE", help="write every outcome there as JSON")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[BACKENDS] = []
    if config.option.vtc_backend:
        config.stash[BACKENDS] = _load(config.option.vtc_backend)
    if config.option.vtc_report and not hasattr(config, "workerinput"):  # with xdist, only the one who hears from all
        config.pluginmanager.register(Report(config.option.vtc_report))


def _load(names: list[str]) -> list[Any]:
    from . import protocol

    sys.path.insert(0, os.getcwd())  # a module in this folder can be named, as with `python -m`
    try:
        return [protocol.load(name) for name in dict.fromkeys(names)]
    except protocol.BrokenBackend as error:
        raise pytest.UsageError(f"--vtc-backend: {error}") from error
    finally:
        sys.path.remove(os.getcwd())


def pytest_report_header(config: pytest.Config) -> list[str]:
    if not config.stash[BACKENDS]:
        return []
    from . import protocol

    return [line for backend in config.stash[BACKENDS] for line in protocol.describe(backend)]


class Report:
    """Every test with its outcome: {"tests": [{"test", "clause", "backend", ..., "outcome", "message"}, ...]}."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tests: list[dict[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        about = dict(report.user_properties).get("vtc")
        if isinstance(about, dict) and (report.when == "call" or report.failed):
            outcome = "xfailed" if hasattr(report, "wasxfail") else report.outcome
            crash = getattr(report.longrepr, "reprcrash", None)
            message = crash.message if crash else report.longreprtext
            self.tests.append({**about, "outcome": outcome, "message": message})

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps({"tests": self.tests}, indent=1) + "\n")
