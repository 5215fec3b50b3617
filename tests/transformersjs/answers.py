"""transformers.js, under Node, answers as PyTorch does: the exported folder of the embedded LLaVA, at three budgets.

Not collected by a bare `pytest`, as it needs Node and a package from npm. Where it runs, both must be there:

    npm ci --prefix tests/transformersjs
    python -m pytest -q tests/transformersjs/answers.py
"""

import functools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from transformers import AutoProcessor
from typer.testing import CliRunner

import vtc_llava
import vtc_tiny
from vtc_cli import answering
from vtc_cli.app import app
from vtc_onnx import writing
from vtc_onnx.language_model import export_language_model
from vtc_tiny.tokenizer import IMAGE

HERE = Path(__file__).parent
SCENES = [vtc_tiny.scene(seed) for seed in range(8)]  # 96 x 96, the model's own size: nothing is resized
QUESTIONS = [[question.text for question in vtc_tiny.questions(scene)] for scene in SCENES]
TOKENS = 144


class Asked(NamedTuple):
    prompt: str
    ids: list[int]
    text: str


class Answers(NamedTuple):
    pixels: list[np.ndarray]  # of each scene: 1 3 96 96
    asked: list[Asked]  # scene by scene


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded checkpoint with the language model's two ONNX files, as onnx-community has them."""
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    shutil.copytree(vtc_tiny.PATH, folder)
    (folder / "onnx").mkdir()
    export_language_model(vtc_tiny.load()[0], folder / "onnx")
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    @functools.cache
    def export(keep: int, *options: str) -> Path:
        folder = tmp_path_factory.mktemp("exported") / "tiny"
        words = ["export", checkpoint, folder, "--layout", "onnx-community", "--keep", keep, *options]
        result = CliRunner().invoke(app, [str(word) for word in words], prog_name="vtc")
        assert result.exit_code == 0, result.output
        return folder

    return export


@pytest.fixture(scope="module")
def in_node(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Answers]:
    work = tmp_path_factory.mktemp("scenes")
    for number, scene in enumerate(SCENES):
        scene.image.save(work / f"{number}.png")
    scenes = [{"image": f"{number}.png", "questions": questions} for number, questions in enumerate(QUESTIONS)]
    (work / "scenes.json").write_text(json.dumps(scenes))

    def answer(folder: Path) -> Answers:
        command = ["node", HERE / "answer.mjs", folder, work / "scenes.json", work / "answers.json"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        results = json.loads((work / "answers.json").read_text())
        pixels = [np.array(result["pixels"], np.float32).reshape(result["dims"]) for result in results]
        return Answers(pixels, [Asked(**asked) for result in results for asked in result["answers"]])

    return answer


@functools.cache
def in_torch(keep: int) -> Answers:
    model, processor = vtc_tiny.load()
    vtc_llava.patch(model, processor, keep)
    answers = Answers([], [])
    for scene, questions in zip(SCENES, QUESTIONS, strict=True):
        inputs = answering.inputs_of(model, processor, [scene.image] * len(questions), questions)
        texts = answering.decoded(processor, answering.generate(model, inputs, max_new_tokens=4))
        rows: Any = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
        ids = [row[mask.bool()].tolist() for row, mask in rows]
        prompts = [answering.prompt(processor, question) for question in questions]
        answers.pixels.append(inputs["pixel_values"][:1].numpy())
        answers.asked.extend(map(Asked, prompts, ids, texts))
    return answers


@pytest.mark.parametrize("keep", [16, 48, TOKENS])
def test_the_same_answers(keep: int, exported: Callable[..., Path], in_node: Callable[[Path], Answers]):
    ours, theirs = in_torch(keep), in_node(exported(keep))
    for our, their in zip(ours.pixels, theirs.pixels, strict=True):
        np.testing.assert_allclose(their, our, atol=1e-6)
    assert len(theirs.asked) == 64
    assert {asked.ids.count(IMAGE) for asked in theirs.asked} == {keep}
    assert theirs.asked == ours.asked


def test_the_answers_depend_on_what_is_kept():
    """Or the test above would pass with any encoder."""
    few, all_of_them = ([asked.text for asked in in_torch(keep).asked] for keep in (16, TOKENS))
    assert sum(a != b for a, b in zip(few, all_of_them, strict=True)) >= 5


@pytest.mark.parametrize(("option", "value", "suffix"), [("dtype", "float16", "_fp16"), ("quantize", "int8", "_int8")])
def test_smaller_files_are_found_and_answer_nearly_the_same(
    option: str, value: str, suffix: str, exported: Callable[..., Path], in_node: Callable[[Path], Answers]
):
    """The folder itself says which file it holds: `answer.mjs` names no dtype."""
    folder = exported(48, f"--{option}", value)
    assert [file.name for file in (folder / "onnx").glob("vision_encoder*")] == [f"vision_encoder{suffix}.onnx"]
    theirs, ours = in_node(folder), in_torch(48)
    assert sum(their.text == our.text for their, our in zip(theirs.asked, ours.asked, strict=True)) >= 60


def test_weights_in_a_file_of_their_own_are_found(
    exported: Callable[..., Path], in_node: Callable[[Path], Answers], monkeypatch: pytest.MonkeyPatch
):
    """As they are from 2 GB on."""
    monkeypatch.setattr(writing, "MOST", 0)
    folder = exported(16, "--reduce", "sum")
    assert (folder / "onnx" / "vision_encoder.onnx_data").stat().st_size > 1_000_000
    assert in_node(folder).asked == in_torch(16).asked


def test_pythons_processor_writes_the_same_prompt(exported: Callable[..., Path]):
    processor = AutoProcessor.from_pretrained(exported(16))
    prompt = answering.prompt(processor, QUESTIONS[0][0])
    ids = processor(images=SCENES[0].image, text=prompt)["input_ids"][0]
    assert ids == in_torch(16).asked[0].ids
