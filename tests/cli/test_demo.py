"""`vtc demo` on the embedded model: these tests need its weights."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vtc_tiny
from vtc_cli.drawing import Answered, Row, demo_figure, marked
from vtc_llava.canvas import Kept

from .running import Vtc


def test_table_picture_and_summary(vtc: Vtc, tmp_path: Path):
    result = vtc("demo", "--scenes", 2, "--seed", 7)
    assert result.exit_code == 0, result.output
    questions = [question for seed in (7, 8) for question in vtc_tiny.questions(vtc_tiny.scene(seed))]
    assert result.stdout.startswith("The embedded LLaVA with 16 of its 144 visual tokens")
    for question in questions:
        assert question.text in result.stdout
    *_, verdict, out = result.stdout.splitlines()
    assert out == "vtc-demo.png"
    assert f" of {len(questions)} with all 144 tokens; " in verdict
    assert verdict.endswith(" by divprune with 16 of 144 visual tokens (1/9, as --keep is not given)")
    assert result.stdout.count("✓") + result.stdout.count("✗") == 3 * len(questions)
    with Image.open(tmp_path / "vtc-demo.png") as image:
        assert image.format == "PNG"
        assert image.width > 1500


def test_all_tokens_give_the_same_answers_twice(vtc: Vtc):
    result = vtc("demo", "--scenes", 1, "--keep", 144, "--method", "visionzip", "--out", "all.png")
    assert result.exit_code == 0, result.output
    answers = [re.split("[✓✗]", line)[1:] for line in result.stdout.splitlines() if "✓" in line or "✗" in line]
    assert len(answers) == 8
    assert all(complete.strip() == few.strip() for complete, few in answers)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", 999_999, "--scenes", 2], "--seed must be in [0, 999998] (scenes held out), got 999999"),
        (["--method", "a", "--method", "b", "--method", "c"], "--method may be given twice at most, got 3: a, b, c"),
        (["--out", "nowhere/a.png"], "--out nowhere/a.png: there is no folder nowhere"),
    ],
)
def test_refusals(vtc: Vtc, words: list, message: str):
    result = vtc("demo", *words)
    assert (result.exit_code, result.stderr) == (2, f"vtc: {message}\n")


def test_the_picture_has_a_row_for_each_scene_and_a_word_for_each_answer():
    tile = Kept(np.zeros((4, 4, 3), np.uint8), np.array([0]), np.ones(4, np.float32))
    answers = [Answered("what ?", "red", "red", ("blue", "red")), Answered("how many ?", "2", "2", ("2", "3"))]
    figure = demo_figure([Row([tile, tile], answers)] * 3, "title", "subtitle", ["a", "b"])
    assert len(figure.axes) == 3 * 4
    words = [text.get_text() for text in figure.axes[7].texts]
    assert words == ["what ?", "red", "✓ red", "✗ blue", "✓ red", "how many ?", "2", "✓ 2", "✓ 2", "✗ 3"]
    assert [text.get_text() for text in figure.axes[3].texts[-5:]] == [
        "question", "truth", "all 4 tokens", "1 by a", "1 by b"
    ]  # fmt: skip


def test_marks():
    assert marked("red", "red") == "✓ red"
    assert marked("bottom", "bottom right") == "✗ bottom"


def test_a_terminal_without_the_letters(tmp_path: Path):
    """As the script itself: check marks become question marks, which is no failure."""
    main = [sys.executable, "-c", "from vtc_cli.app import main; main()", "demo", "--scenes", "1"]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(main, capture_output=True, text=True, cwd=tmp_path, env=ascii_only)
    assert done.returncode == 0, done.stderr
    assert "? yes" in done.stdout or "? no" in done.stdout
