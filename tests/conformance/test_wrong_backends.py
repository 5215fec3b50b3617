"""Tests of the tests: every wrong backend fails the clauses that it breaks, and no others."""

import subprocess
import sys

import pytest

from .running import run_suite
from .wrong import WRONG, source


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One run over all of them."""
    folder = tmp_path_factory.mktemp("wrong")
    for name in WRONG:
        (folder / f"{name}.py").write_text(source(name))
    backends = [part for name in WRONG for part in ("--vtc-backend", name)]
    return folder, run_suite(folder, *backends, "-k", "not properties and not 24x24")


@pytest.mark.parametrize("name", WRONG)
def test_it_fails_what_it_breaks_and_nothing_else(ran, name):
    failed = ran[1].failed(name)
    assert {test["clause"] for test in failed} == WRONG[name].breaks, {test["test"] for test in failed}


def test_every_clause_has_a_wrong_backend(ran):
    assert {test["clause"] for test in ran[1].tests} == set().union(*(wrong.breaks for wrong in WRONG.values()))


@pytest.mark.parametrize("name", WRONG)
def test_a_message_names_clause_and_backend(ran, name):
    for test in ran[1].failed(name):
        assert f"{test['clause']} is broken: backend {name}, variant eager" in test["message"]


def test_repros_show_the_failure_when_pasted(ran):
    """One of every test that failed anywhere: the pasted code ends in an error, and not in one of its own making."""
    folder, suite = ran
    one_each = {test["test"].partition("[")[0]: test for name in WRONG for test in suite.failed(name)}
    for name, test in one_each.items():
        (folder / f"repro_{name.replace('::', '_').replace('.py', '')}.py").write_text(repro_of(test["message"]))
    done = subprocess.run([sys.executable, "-c", RUN_ALL], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.splitlines()[-1]) == len(one_each), done.stdout[-2000:]


def repro_of(message: str) -> str:
    return message.partition("Paste into Python to see it:\n\n")[2]


RUN_ALL = """
import glob, runpy, sys

sys.path.insert(0, "")
shown = 0
for path in sorted(glob.glob("repro_*.py")):
    try:
        runpy.run_path(path)
    except (NameError, SyntaxError, ImportError) as error:
        print(path, "cannot be pasted:", error)
    except Exception:
        shown += 1
    else:
        print(path, "shows nothing")
print(shown)
"""
