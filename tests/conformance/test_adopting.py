"""Adopting the suite: the README's example, usage errors, the header, known deviations."""

import re
from pathlib import Path

import pytest

from vtc_core.methods import METHODS

from .running import run_suite

CONFORMANCE = Path(__file__).parents[2] / "conformance"
EXAMPLE = (CONFORMANCE / "example_backend.py").read_text()
FEW = ("-k", "test_s3_ties_go_to_the_lower_index")
HIGHER = EXAMPLE.replace(
    "    return np.sort(ranked[:, : int(keep)], axis=-1)",
    "    return np.sort(ranked[:, ::-1][:, : int(keep)], axis=-1)",
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "example_backend.py").write_text(EXAMPLE)
    (tmp_path / "higher.py").write_text(HIGHER)
    return tmp_path


def test_the_example_backend_of_the_readme_conforms(folder):
    ran = run_suite(folder, "--vtc-backend", "example_backend")
    assert ran.code == 0, ran.output
    assert {test["dtype"] for test in ran.tests} == {"float32", "float64", ""}
    assert {test["outcome"] for test in ran.tests} == {"passed"}


def test_the_readme_shows_the_example_and_it_is_short():
    assert f"```python\n{EXAMPLE}```" in (CONFORMANCE / "README.md").read_text()
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) < 40


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, r"--vtc-backend: cannot import backend_x: ModuleNotFoundError: No module named 'backend_x'"),
        ("1 / 0", r"--vtc-backend: cannot import backend_x: ZeroDivisionError: division by zero"),
        (
            "def score(): ...",
            r"--vtc-backend: backend_x is no backend: it has no attend, select, gather, prune, resolve_",
        ),
        (EXAMPLE + "dtypes = ('int8',)", r"backend_x.dtypes must be some of float16, .*, got \('int8',\)"),
        (EXAMPLE + "variants = {'jit': None}", r"backend_x.variants\['jit'\] is no backend: it has no attend"),
        (EXAMPLE.replace("return array", "return array.no"), r"backend_x.from_numpy\(array\) fails: AttributeError"),
    ],
)
def test_a_backend_that_cannot_be_one_is_a_usage_error(tmp_path, source, message):
    if source is not None:
        (tmp_path / "backend_x.py").write_text(source)
    ran = run_suite(tmp_path, "--vtc-backend", "backend_x")
    assert (ran.code, ran.tests) == (4, [])
    assert re.search(message, ran.output), ran.output


def test_no_backend_is_a_usage_error(tmp_path):
    ran = run_suite(tmp_path)
    assert ran.code == 4
    assert "no backend named" in ran.output


def test_the_header_says_what_it_is_and_what_does_not_apply(folder):
    ran = run_suite(folder, "--vtc-backend", "example_backend", *FEW, "-v")
    for line in (
        r"vtc: example_backend \(no version\), arrays of numpy \d",
        "dtypes float32, float64; variants eager; devices cpu",
        "does not apply: float16, not in its `dtypes`",
        "does not apply: the encoder group, it has no `load_encoder`",
        "does not apply: the methods group, it has no `scan`",
    ):
        assert re.search(line, ran.output), ran.output


def test_scan_opts_into_the_methods_group(folder):
    """Of every method, in every dtype; and a loop that is wrong is found out (`wrong.py`)."""
    (folder / "loops.py").write_text(EXAMPLE + "\n\nfrom vtc_core import scan\n")
    ran = run_suite(folder, "--vtc-backend", "loops", "-k", "test_methods_choose_what or scan", "-v")
    assert ran.code == 0, ran.output
    assert "methods group" not in ran.output
    assert {test["clause"] for test in ran.tests} == {"METHODS"}
    for name, method in METHODS.items():
        assert any(f"-{name}]" in test["test"] for test in ran.tests) is not method.progressive


def test_an_encoder_may_have_fewer_dtypes_than_the_verbs(folder):
    (folder / "fewer.py").write_text(EXAMPLE + "\n\nencoder_dtypes = ('float64',)\nload_encoder = None\n")
    ran = run_suite(folder, "--vtc-backend", "fewer", "-k", "s9_same_inputs", "-v")
    assert "does not apply: the encoder group in float32, not in its `encoder_dtypes`" in ran.output
    assert {test["dtype"] for test in ran.tests if "test_encoder.py" in test["test"]} == {"float64"}
    assert {test["dtype"] for test in ran.tests if "test_select.py" in test["test"]} == {"float32", "float64"}


def test_a_known_deviation_is_expected_to_fail(folder):
    (folder / "known.txt").write_text(
        "# Deviations of higher.py\n\n"
        "test_select.py::test_s3_ties_go_to_the_lower_index[higher-eager-*]  # upstream sorts the other way\n"
        "test_select.py::test_s3_ties_go_to_the_lower_index_in_long_rows  # the same\n"
    )
    ran = run_suite(folder, "--vtc-backend", "higher", "--vtc-xfails", "known.txt", *FEW)
    assert ran.code == 0, ran.output
    assert {test["outcome"] for test in ran.tests} == {"xfailed"}


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("test_select.py::test_s3_ties_go_to_the_lower_index", 4, "known.txt:1: no reason given"),
        ("test_select.py::test_s3_ties_that_nobody_tests  # gone", 4, "known.txt:1: no test is called"),
        ("test_select.py::test_s3_ties_go_to_the_lower_index  # repaired since", 1, ""),
    ],
)
def test_the_file_of_deviations_is_kept_up_to_date(folder, line, code, message):
    """No reason, no such test, or no deviation any more: all are errors."""
    (folder / "known.txt").write_text(line)
    ran = run_suite(folder, "--vtc-backend", "example_backend", "--vtc-xfails", "known.txt", *FEW)
    assert ran.code == code
    assert message in ran.output
