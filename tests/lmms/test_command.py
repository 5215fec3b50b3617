"""The commands of the adapter's README, word for word, and the files that they leave."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from evaluating import TASKS, TINY

import vtc_lmms

ROOT = Path(__file__).parents[2]
README = Path(vtc_lmms.__file__).with_name("README.md")
INSTALL, EVALUATE, PAPER = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)[0].splitlines()


def run(command: str) -> subprocess.CompletedProcess[str]:
    """In the project's root, with the programs of this environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        command, shell=True, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )


def written(model: str, arguments: str, folder: Path) -> tuple[dict, str]:
    """The results and the samples that lmms-eval leaves in a folder."""
    told = f"--model {model} --model_args {arguments} --device cpu --output_path {folder} --log_samples --limit 16"
    done = run(f"lmms-eval {told} --tasks vtc_scenes --include_path {TASKS[0]}")
    (results,), (samples,) = folder.rglob("*_results.json"), folder.rglob("*_samples_vtc_scenes.jsonl")
    assert done.returncode == 0, done.stderr
    return json.loads(results.read_text()), samples.read_text()


def test_the_readme_evaluates_the_embedded_model():
    assert INSTALL == "pip install -e '.[lmms]'"
    done = run(EVALUATE)
    score = re.search(r"\|vtc_scenes\|none *\| *0\|exact_match\|↑ *\| *([0-9.]+)\|", done.stdout)
    assert score, done.stdout + done.stderr
    assert float(score[1]) == pytest.approx(0.896, abs=0.01)  # as RESULTS.md has it, of another processor


def test_the_readme_compares_it_with_what_was_published():
    done = run(PAPER)
    row = re.search(r"\| scenes \| ([0-9.]+) \| 89\.6 \| ([+-][0-9.]+) \|", done.stdout)
    assert row, done.stdout + done.stderr
    assert abs(float(row[2])) < 0.2
    assert "Published in: benchmarks/quality.json" in done.stdout


def test_the_files_are_the_stock_models(tmp_path: Path):
    stock, its_samples = written("llava_hf", f"{TINY},device_map=cpu", tmp_path / "stock")
    ours, our_samples = written("vtc_llava_hf", f"{TINY},keep=all", tmp_path / "ours")
    assert our_samples == its_samples
    assert len(our_samples.splitlines()) == 16
    for part in ("results", "n-samples", "efficiency", "task_hashes"):
        assert ours[part] == stock[part]
    (recorded,) = ours["config"]["batch_sizes"]
    assert (recorded["keep"], recorded["method"]["name"]) == (144, "vtc-cls")


def test_a_missing_setting_is_one_error(tmp_path: Path):
    told = f"--model vtc_llava_hf --model_args {TINY} --device cpu --output_path {tmp_path}"
    done = run(f"lmms-eval {told} --tasks vtc_scenes --include_path {TASKS[0]}")
    (error,) = [line for line in done.stdout.splitlines() if "ERROR" in line]
    assert "Error during evaluation: keep or total is needed: " in error
    assert "vtc is set up by --model_args" in error
    assert not [*tmp_path.iterdir()]
