"""`vtc methods`: every method a line on a terminal of 80 columns."""

import json

import pytest

from vtc_core.methods import METHODS, method_of

from .test_ask import Vtc

WITHOUT_CLS = (
    *("received", "grid", "random", "norm", "hiprune", "vflowopt", "divprune", "catp", "gprune", "tome", "aim"),
    *("centerclip", "pact", "dart", "mmtok", "catp-text", "cdpruner", "trim"),
)


def test_every_method_has_a_line(vtc: Vtc):
    lines = vtc("methods").stdout.splitlines()
    for name, kind in METHODS.items():
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert kind.looks_at in line  # nothing is wrapped
        assert kind.source in line
        assert ("yes" in line.split(kind.looks_at)[1]) == kind.merges
        assert (" CLS " in line.split(kind.looks_at)[1]) == (name not in WITHOUT_CLS)
        assert len(line) <= 80


@pytest.mark.parametrize("name", METHODS)
def test_one_method_tells_its_formula_and_its_deviations(vtc: Vtc, name):
    result = vtc("methods", name)
    assert result.stdout.startswith(f"--method {name}")
    if METHODS[name].source != "baseline":
        assert "Deviations: " in result.stdout


def test_json_is_what_method_of_reads(vtc: Vtc):
    told = json.loads(vtc("methods", "--json").stdout)
    assert list(told) == list(METHODS)
    for name, about in told.items():
        assert method_of(about["spelled"]) == method_of({"name": name, **about["parameters"]}) == METHODS[name]()


def test_an_unknown_name_is_refused_with_the_known(vtc: Vtc):
    result = vtc("methods", "visionzap")
    assert result.exit_code == 2
    assert "NAME must be one of vtc-cls, fastervlm, " in result.stderr
