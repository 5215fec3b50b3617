"""`vtc tune` on a few scenes, and what it refuses."""

import json
import re

import pytest

import vtc_tiny


@pytest.fixture
def data(tmp_path):
    """Three good rows and a bad one."""
    rows = []
    for seed in range(3):
        scene = vtc_tiny.scene(seed)
        scene.image.save(tmp_path / f"{seed}.png")
        rows.append({"image": f"{seed}.png", "question": vtc_tiny.questions(scene)[0].text})
    rows.append({"image": "none\x1b.png", "question": "what ?"})
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "data.jsonl"


def test_a_table_a_verdict_and_a_folder(vtc, data, tmp_path):
    words = ("tune", data, "--methods", "vtc-cls norm", "--methods", "grid", "--keep", "16,72", "--out", "made")
    result = vtc(*words)
    assert result.exit_code == 0, result.output
    lines = [line.split()[:2] for line in result.stdout.splitlines() if re.match(r" ?(vtc-cls|norm|grid) ", line)]
    assert lines == [[name, keep] for name in ("vtc-cls", "norm", "grid") for keep in ("72", "16")]
    assert "No recommendation: 3 samples are too few to promise 98.0%" in result.stdout
    assert "made/skipped.parquet: 1 bad rows, the first: row 4: none\\x1b.png is not there" in result.stdout
    made = {path.name for path in (tmp_path / "made").iterdir()}
    assert made >= {"report.html", "report.json", "report.png", "results.parquet", "skipped.parquet"}
    again = vtc(*words)
    assert again.stdout == result.stdout
    other = vtc(*words[:-4], "--keep", "16", "--out", "made")
    assert other.exit_code == 2
    assert (
        other.stderr.splitlines()[-1] == "vtc: made holds results of other methods or budgets: --overwrite starts anew"
    )


def test_a_folder_of_pictures_with_questions_gets_a_recommendation_to_paste(vtc, data):
    result = vtc(
        "tune", data.parent, "--question", "how many objects ?", "--methods", "norm", "--keep", "144", "--target", "0.3"
    )
    assert result.exit_code == 0, result.output
    assert "Recommended: norm with keep=144" in result.stdout
    assert "Python: vtc_llava.patch(model, processor, keep=144, method='norm')" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "1"], "--target must lie between 0 and 1, got 1.0"),
        (["--keep", "12,x"], "--keep must be whole numbers, such as 64 or 64,32, got 'x'"),
        (["--keep", "145"], "keep must be an integer in [1, 144] (the number of patch tokens), got 145"),
        (["--total", "9"], "total is for pictures of several tiles"),
        (["--methods", "nope"], "method must be one of"),
        (["--question", "what ?"], "--question is asked of the pictures of a folder: DATA is missing"),
        (["none.jsonl"], "none.jsonl is not there"),
        (["."], ". must be a .jsonl, .csv or .parquet file; of a folder of pictures, pass --question"),
        (["empty.jsonl"], "empty.jsonl has no good row among 1; the first: row 1 has no image"),
        (["--out", "empty.jsonl"], "--out empty.jsonl is a file: a folder is needed"),
    ],
)
def test_what_is_refused_before_any_work(vtc, tmp_path, words, message):
    (tmp_path / "empty.jsonl").write_text("{}")
    result = vtc("tune", *words)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"vtc: {message}")
    assert not (tmp_path / "vtc-tune").exists()
