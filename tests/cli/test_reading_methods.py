"""Methods that read the prompt from the command line: where a question is asked they work."""

import json

import pytest

import vtc_tiny

from .running import Vtc


@pytest.mark.parametrize("method", ["mmtok", "catp-text:weight=1.0"])
def test_ask(vtc: Vtc, tmp_path, method):
    picture = tmp_path / "scene.png"
    scene = vtc_tiny.scene(7)
    scene.image.save(picture)
    question = vtc_tiny.questions(scene)[0]
    result = vtc("ask", picture, question.text, "--keep", "72", "--method", method)
    answer, spent, _ = result.stdout.splitlines()
    assert answer == question.answer
    assert spent.startswith("72 of 144 visual tokens")


def test_demo(vtc: Vtc, tmp_path):
    out = tmp_path / "demo.png"
    result = vtc("demo", "--scenes", "1", "--method", "mmtok", "--keep", "16", "--out", out)
    assert "by mmtok with 16 of 144 visual tokens" in result.stdout
    assert out.stat().st_size > 10_000


def test_tune(vtc: Vtc, tmp_path):
    result = vtc("tune", "--methods", "mmtok", "--keep", "36", "--samples", "8", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "mmtok" in json.dumps(told)


@pytest.mark.parametrize("method", ["cdpruner", "trim"])
def test_a_clip_is_not_to_be_had_on_the_command_line(vtc: Vtc, tmp_path, method):
    picture = tmp_path / "scene.png"
    vtc_tiny.scene(7).image.save(picture)
    result = vtc("ask", picture, "what?", "--method", method)
    assert result.exit_code == 2
    assert f"method '{method}' compares words and patches as CLIP does: pass text_tower" in result.stderr
    assert len(result.stderr.splitlines()) == 2  # and which model is asked
