"""`vtc check`: a table, JSON for machines, exit codes."""

import json
from pathlib import Path

import pytest

from vtc_cli.check import run as check

EXAMPLE = (Path(__file__).parents[2] / "conformance" / "example_backend.py").read_text()


@pytest.fixture
def modules(tmp_path, monkeypatch):
    (tmp_path / "fine.py").write_text(EXAMPLE)
    (tmp_path / "broken.py").write_text(EXAMPLE.replace("cls_attention.mean(2)", "cls_attention.sum(2)"))
    monkeypatch.chdir(tmp_path)


def test_check_as_a_table(modules, capsys):
    assert check(["fine", "broken"], as_json=False, xfails=None) == 1
    out = capsys.readouterr().out
    rows = {line.split("│")[1].strip(): line for line in out.splitlines() if line.startswith("│")}
    assert "failed" in rows["S2"]
    assert rows["S3"].count("passed") == 2
    assert rows["S8"].count("does not apply") == rows["METHODS"].count("does not apply") == 2
    assert "S2 is broken: backend broken" in out
    assert "compare.equal(got, " in out


def test_check_as_json(modules, capsys):
    assert check(["fine"], as_json=True, xfails=None) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts["fine"]["S3"]["failed"] == 0 < counts["fine"]["S3"]["passed"]


def test_check_of_no_such_module(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert check(["nowhere"], as_json=False, xfails=None) == 2
    assert capsys.readouterr().err == (
        "--vtc-backend: cannot import nowhere: ModuleNotFoundError: No module named 'nowhere'\n"
    )
