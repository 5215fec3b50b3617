"""`vtc methods`: every method and every stage a line on a terminal of 80 columns."""

import json

import pytest

from vtc_core.methods import METHODS, method_of
from vtc_core.stages import STAGES, stage_of

from .test_ask import Vtc

WITHOUT_CLS = (
    *("received", "grid", "random", "norm", "hiprune", "vflowopt", "divprune", "catp", "gprune", "tome", "aim"),
    *("centerclip", "pact", "dart", "mmtok", "catp-text", "cdpruner", "trim"),
)


def test_every_method_has_a_line(vtc: Vtc):
    lines = vtc("methods").stdout.partition("--stage")[0].splitlines()
    for name, kind in METHODS.items():
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert kind.looks_at in line  # nothing is wrapped
        assert kind.source in line
        assert ("yes" in line.split(kind.looks_at)[1]) == kind.merges
        assert (" CLS " in line.split(kind.looks_at)[1]) == (name not in WITHOUT_CLS)
        assert len(line) <= 80


def test_every_stage_has_a_line(vtc: Vtc):
    lines = vtc("methods").stdout.partition("--stage")[2].splitlines()
    for name, kind in STAGES.items():
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        told = line.split(kind.looks_at)[1].split()
        assert ("merges" in told, "drops" in told) == (kind.merges, not kind.merges)
        assert kind.source in line
        assert len(line) <= 80
    (sparse,) = (line for line in lines if line.startswith("sparsevlm "))
    assert " 3 7 16 " in sparse
    (aim,) = (line for line in lines if line.startswith("aim "))
    assert " 15-22 " in aim


@pytest.mark.parametrize("name", METHODS)
def test_one_method_tells_its_formula_and_its_deviations(vtc: Vtc, name):
    result = vtc("methods", name)
    assert result.stdout.startswith(f"--method {name}")
    if METHODS[name].source != "baseline":
        assert "Deviations: " in result.stdout


@pytest.mark.parametrize("name", STAGES)
def test_one_stage_tells_its_formula_and_its_deviations(vtc: Vtc, name):
    told = vtc("methods", name).stdout.partition(f"--stage {name}:")[2]
    assert "Deviations: " in told
    assert stage_of(f"{name}:{told.splitlines()[0]}") == STAGES[name]()


def test_a_name_of_both_tells_both(vtc: Vtc):
    told = vtc("methods", "pact").stdout
    assert told.index("--method pact:share=0.55") < told.index("--stage pact:layer=4,share=0.55")


def test_json_is_what_method_of_reads(vtc: Vtc):
    told = json.loads(vtc("methods", "--json").stdout)
    for option, catalogue, of in (("methods", METHODS, method_of), ("stages", STAGES, stage_of)):
        assert list(told[option]) == list(catalogue)
        for name, about in told[option].items():
            assert of(about["spelled"]) == of({"name": name, **about["parameters"]}) == catalogue[name]()
    assert list(json.loads(vtc("methods", "fastv", "--json").stdout)["stages"]) == ["fastv"]


def test_an_unknown_name_is_refused_with_the_known(vtc: Vtc):
    result = vtc("methods", "visionzap")
    assert result.exit_code == 2
    assert "NAME must be one of vtc-cls, fastervlm, " in result.stderr
