"""The published tables of benchmarks/paper.py, and what it asks of lmms-eval; tests/lmms lets it measure."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import CLIPVisionConfig, LlavaConfig, LlavaNextConfig

from vtc_lmms.settings import settings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# The last column of figures/performance.png, by rows
AVERAGES = [62.1, 60.5, 60.6, 61.7, 56.6, 58.6, 60.5, 45.3, 56.3, 58.4]
VIT_L = CLIPVisionConfig(num_hidden_layers=24, image_size=336, patch_size=14)
CONFIGS = {"llava": LlavaConfig(vision_config=VIT_L), "next": LlavaNextConfig(vision_config=VIT_L)}


@pytest.fixture
def paper(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("paper")


def said(*arguments):
    """Exit code, stdout and stderr of the command."""
    program = [sys.executable, BENCHMARKS / "paper.py", *arguments]
    done = subprocess.run(program, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_rows_of_the_paper_have_the_averages_that_it_prints(paper):
    rows = paper.tables()["vtc-cls"].rows
    assert [len(row.published) for row in rows] == [8] * 10
    means = [sum(row.published.values()) / 8 for row in rows]
    assert means == pytest.approx(AVERAGES, abs=0.1)  # both are of numbers rounded to 0.1


def test_every_table_has_a_source_and_a_harness_and_known_benchmarks(paper):
    for table in paper.tables().values():
        assert table.source
        assert table.harness
        assert {name for row in table.rows for name in row.published} <= set(paper.benchmarks())
        assert any(row.args for row in table.rows)
        assert len({(row.name, row.tokens) for row in table.rows}) == len(table.rows)


@pytest.mark.parametrize(
    ("name", "config", "tiles"), [("vtc-cls", "llava", 1), ("hiprune", "llava", 1), ("hiprune-next", "next", 5)]
)
def test_every_row_that_is_measured_keeps_as_many_tokens_as_it_says(paper, name, config, tiles):
    for row in paper.tables()[name].rows:
        if row.args:
            given = dict(part.split("=", 1) for part in row.args.split(","))
            if given["keep"].isdigit():
                given["keep"] = int(given["keep"])  # as lmms-eval parses it
            made = settings(CONFIGS[config], name, given, [CONFIGS[config].model_type])
            assert made.keep * tiles == row.tokens, row


def test_the_embedded_models_table_is_what_quality_found(paper):
    figures = json.loads((BENCHMARKS / "quality.json").read_text())
    rows = {(row.name, row.tokens): row for row in paper.tables()["tiny"].rows}
    right, asked = figures["right"]["visionzip"]["16"], figures["asked"]
    assert rows["visionzip", 16].published == {"scenes": 100 * sum(right.values()) / sum(asked.values())}
    assert rows["vflowopt:threshold=2.0,cell=8.0", 16].args == 'keep=16,method="vflowopt:threshold=2.0,cell=8.0"'
    assert rows["all", 144].args == "keep=all"


def test_a_dry_run_prints_the_command():
    row = ["vtc-cls", "--row", "VTC-CLS", "--tokens", "64"]
    code, out, _ = said(*row, "--benchmarks", "GQA", "POPE", "--dry-run", "--batch_size", "8", "--limit", "100")
    assert code == 0
    assert out == (
        "lmms-eval --model vtc_llava_hf --model_args "
        "pretrained=llava-hf/llava-1.5-7b-hf,keep=64,method=vtc-cls:layers=3"
        " --tasks gqa,pope --batch_size 8 --limit 100\n"
    )
    code, out, _ = said(*row, "--dry-run")
    assert "--tasks scienceqa_img,gqa,textvqa_val,pope,mmbench_en_dev_static,mmbench_cn_dev,mmvet,seedbench" in out


def test_tables_are_shown_with_their_sources():
    code, out, _ = said("vtc-cls")
    assert code == 0
    assert "| 64 | VTC-CLS * | 70.0 | 55.7 | 55.5 | 78.8 | 61.2 | 55.8 | 31.7 | 58.3 |" in out
    assert "| 64 | FastV | 68.6 |" in out
    assert "figures/performance.png" in out
    assert "| 64 | VisionZip * | 55.1 | 60.1 |  | 1690.0 |" in said("hiprune")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--row", "FastV", "--tokens", "64"], "--row FastV is published only: vtc has no such method"),
        (["--row", "VTC-CLS", "--tokens", "63"], "--row and --tokens must be of LLaVA-1.5-7B 576, FastV 256"),
        (["--tokens", "64"], "--row and --tokens must be of"),
        (
            ["--row", "VTC-CLS", "--tokens", "64", "--benchmarks", "MME"],
            "--benchmarks must be of SciQA, GQA, .*, got MME",
        ),
    ],
)
def test_refusals_are_one_line(paper, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["paper.py", "vtc-cls", *arguments])
    with pytest.raises(SystemExit) as end:
        paper.main()
    assert end.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("paper.py: error: ")]
    assert re.search(message, line)


def test_the_difference_is_measured_less_published(paper):
    row = paper.Row("some", 64, "keep=64", {"GQA": 55.7, "MME": 1690})
    results = {
        "gqa": {"alias": "gqa", "exact_match,none": 0.5501, "exact_match_stderr,none": 0.01},
        "mme": {"mme_perception_score,none": 1400.0, "mme_cognition_score,none": 300.5},
    }
    lines = paper.compared(row, results, ["GQA", "MME"]).splitlines()
    assert lines[2] == "| GQA | 55.0 | 55.7 | -0.7 |  |"
    assert lines[3] == "| MME | 1700.5 | 1690.0 | +10.5 | perception and cognition |"


def test_a_run_that_measures_nothing_is_an_error():
    code, out, err = said("tiny", "--row", "all", "--tokens", "144", "--no-option-of-lmms-eval")
    assert (code, out) == (1, "")
    assert err.endswith("lmms-eval has measured nothing; what it says of it is above\n")
    assert "Traceback" not in err
