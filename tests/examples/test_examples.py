"""The scripts in examples/ run as they stand, in an empty folder, and say what they promise."""

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

import vtc_tiny

FOLDER = Path(__file__).parents[2] / "examples"


def run(script: str, folder: Path, *words: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # for `vtc`
    words = (sys.executable, str(FOLDER / script), *words)
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr
    return done.stdout


def counted(number: int) -> str:
    questions = {question.text: question.answer for question in vtc_tiny.questions(vtc_tiny.scene(number))}
    return questions["how many objects ?"]


def test_answer(tmp_path: Path):
    said = run("answer.py", tmp_path).splitlines()
    assert said[0] == counted(0)
    assert "tokens        144 -> 16 (keep=16)" in said


def test_compare_methods(tmp_path: Path):
    vtc_tiny.scene(0).image.save(tmp_path / "scene.png")
    said = run("compare_methods.py", tmp_path, "scene.png", "how many objects ?", "--methods", "divprune", "visionzip")
    assert [line.split()[-1] for line in said.splitlines()] == ["4", "kept-by-divprune.png", "kept-by-visionzip.png"]
    for name in ("divprune", "visionzip"):
        with Image.open(tmp_path / f"kept-by-{name}.png") as picture:
            assert picture.width > 1000


def test_export_and_run(tmp_path: Path):
    said = run("export_and_run.py", tmp_path).splitlines()
    assert [line.split(":")[0] for line in said[-3:]] == ["keep=4", "keep=16", "keep=64"]
    assert "features (2, 64, 128)" in said[-1]


def test_encode_then_ask(tmp_path: Path):
    said = run("encode_then_ask.py", tmp_path).splitlines()[-8:]
    assert [line.split(": ")[0] for line in said] == [f"{number}.png" for number in range(8)]
    right = sum(line.split(": ")[1] == counted(number) for number, line in enumerate(said))
    assert right >= 6  # 89.6 % of all questions at this budget


def test_every_script_is_listed():
    listed = (FOLDER / "README.md").read_text()
    assert all(f"[`{path.name}`]({path.name})" in listed for path in FOLDER.glob("*.py"))
