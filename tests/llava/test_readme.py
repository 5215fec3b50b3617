"""The table of families in the README is what the tests test."""

from pathlib import Path

import pytest

from vtc_llava.families import FAMILIES as KNOWN

from .families import FAMILIES

TESTS = Path(__file__).parent
README = (TESTS.parents[1] / "adapters" / "vtc_llava" / "README.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in README.splitlines() if line.startswith("| ")]
HEAD, TABLE = ROWS[0], {row[0].split("`")[1]: row for row in ROWS[1:]}


def test_the_table_has_every_family():
    assert list(TABLE) == list(KNOWN)
    assert {case.make()[0].config.model_type for case in FAMILIES.values()} == set(KNOWN)


@pytest.mark.parametrize("family", KNOWN)
def test_a_row_is_what_the_familys_tests_are(family):
    cases = [case for case in FAMILIES.values() if case.make()[0].config.model_type == family]
    expected = {
        "pictures": True,
        "several a prompt": True,
        "batches": True,
        "videos": any(case.videos for case in cases),
        "`keep`": True,
        "`total`": any(case.total for case in cases),
    }
    row = dict(zip(HEAD, TABLE[family], strict=True))
    for column, supported in expected.items():
        assert row[column] == ("yes" if supported else "no"), column
    received = any(case.method == "received" for case in cases)
    assert row["tower without CLS"] == ('`method="received"`' if received else "no")


def test_the_tests_that_it_names_are_there():
    sources = "".join(path.read_text() for path in TESTS.glob("test_*.py"))
    named = [word.strip("`,") for word in README.split() if word.startswith("`test_")]
    assert len(named) > 6
    for name in named:
        assert f"def {name}(" in sources, name
