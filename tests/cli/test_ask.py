"""`vtc ask`: the answer, what it cost, and refusals."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import make_llava, make_processor

import vtc_llava
from vtc_cli import answering
from vtc_cli.ask import stopwatch
from vtc_cli.pictures import open_picture

from ..llava.families import llava_next, llava_siglip
from .running import Vtc

SECONDS = re.compile(r"encoder (\d+\.\d{3}) s, language model (\d+\.\d{3}) s \((\d+) new tokens; cpu, (\w+)\)")


def test_a_llava_15_shaped_checkpoint(vtc: Vtc, photo: Path, llava_15: Path):
    """The real loading path: published names, 576 tokens, 24 layers 1024 wide."""
    result = vtc("ask", photo, "what color is the star ?", "--model", llava_15, "--keep", 64, "--max-new-tokens", 4)
    assert result.exit_code == 0, result.output
    answer, spent, seconds = result.stdout.splitlines()
    assert answer
    assert spent == "64 of 576 visual tokens"
    found = SECONDS.fullmatch(seconds)
    assert found
    assert found[4] == "bfloat16"
    assert float(found[1]) > float(found[2]) > 0  # a large tower before a small language model


def test_the_answer_is_that_of_a_patched_model(vtc: Vtc, photo: Path, checkpoint: Path):
    result = vtc("ask", photo, "how many red ?", "--model", checkpoint, "--keep", 9, "--max-new-tokens", 6)
    model, processor = vtc_llava.load(str(checkpoint), keep=9)
    prompt = "USER: <image>\nhow many red ? ASSISTANT:"
    inputs = processor(images=open_picture(photo), text=prompt, return_tensors="pt")
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    expected = processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    answer, spent, seconds = result.stdout.splitlines()
    assert answer == expected.strip()
    assert spent == "9 of 36 visual tokens"
    assert SECONDS.fullmatch(seconds)
    assert result.stderr == ""


def test_one_token_in_nine_when_keep_is_left_out(vtc: Vtc, photo: Path, checkpoint: Path):
    result = vtc("ask", photo, "what ?", "--model", checkpoint, "--max-new-tokens", 1)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1] == "4 of 36 visual tokens (1/9, as --keep is not given)"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtype(vtc: Vtc, photo: Path, checkpoint: Path, dtype: str):
    result = vtc("ask", photo, "what ?", "--model", checkpoint, "--dtype", dtype, "--device", "cpu", "--reduce", "max")
    assert result.exit_code == 0, result.output
    assert f"; cpu, {dtype})" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", 0], "keep must be an integer in [1, 36] (the number of patch tokens), got 0"),
        (["--keep", 37], "keep must be an integer in [1, 36] (the number of patch tokens), got 37"),
        (["--layers", 5], "layers must be an integer in [1, 4] (the layers up to the feature layer), got 5"),
    ],
)
def test_numbers_that_do_not_fit_the_model(vtc: Vtc, photo: Path, checkpoint: Path, options: list, message: str):
    result = vtc("ask", photo, "what ?", "--model", checkpoint, *options)
    assert (result.exit_code, result.stderr, result.stdout) == (2, f"vtc: {message}\n", "")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA-NeXT: pictures of several tiles."""
    return saved(llava_next(), tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def without_cls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of SigLIP."""
    return saved(llava_siglip(), tmp_path_factory.mktemp("without-cls"))


def saved(pair: Any, folder: Path) -> Path:
    for part in pair:
        part.save_pretrained(folder)
    return folder


def test_total_is_of_the_whole_picture(vtc: Vtc, photo: Path, tiles: Path):
    """A landscape of 64 x 48: the base tile and two more, less what un-padding cuts off, and newlines."""
    model, processor = vtc_llava.load(str(tiles), total=17)
    cost = model.vtc.describe(64, 48)
    result = vtc("ask", photo, "what ?", "--model", tiles, "--total", 17, "--max-new-tokens", 3)
    assert result.exit_code == 0, result.output
    answer, spent, _ = result.stdout.splitlines()
    assert cost.tokens_before > 72
    assert spent == f"17 of {cost.tokens_before} visual tokens (total 17)"
    inputs = answering.inputs_of(model, processor, [open_picture(photo)], ["what ?"])
    assert answer == answering.decoded(processor, answering.generate(model, inputs, 3))[0]


def test_a_method_for_a_tower_without_cls(vtc: Vtc, photo: Path, without_cls: Path):
    words = ["ask", photo, "what ?", "--model", without_cls, "--keep", 5, "--max-new-tokens", 1]
    result = vtc(*words, "--method", "received")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1] == "5 of 25 visual tokens"
    refused = vtc(*words)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "has no CLS token" in refused.stderr
    assert "a method that does without (" in refused.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--total", 17, "--keep", 5],
            "exactly one of keep (tokens of a tile or frame) and total (tokens of a picture or video) is needed, "
            "got keep=5 and total=17",
        ),
        (["--total", 0], "total must be an integer of at least 1, got 0"),
    ],
)
def test_totals_that_are_none(vtc: Vtc, photo: Path, tiles: Path, options: list, message: str):
    result = vtc("ask", photo, "what ?", "--model", tiles, *options)
    assert (result.exit_code, result.stderr, result.stdout) == (2, f"vtc: {message}\n", "")


def test_total_of_a_picture_of_one_tile_is_refused(vtc: Vtc, photo: Path, checkpoint: Path):
    result = vtc("ask", photo, "what ?", "--model", checkpoint, "--total", 9)
    assert result.exit_code == 2
    assert result.stderr.startswith("vtc: total is for pictures of several tiles and for videos; ")


@pytest.mark.parametrize("question", ["", "  ", "what is <image> ?"])
def test_questions_that_are_none(vtc: Vtc, photo: Path, checkpoint: Path, question: str):
    result = vtc("ask", photo, question, "--model", checkpoint)
    assert result.exit_code == 2
    assert result.stderr.startswith("vtc: QUESTION must be words")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_no_cuda(vtc: Vtc, photo: Path, checkpoint: Path):
    result = vtc("ask", photo, "what ?", "--model", checkpoint, "--device", "cuda")
    assert (result.exit_code, result.stderr) == (2, "vtc: --device cuda: this torch finds no CUDA device\n")


def test_the_prompt_follows_the_checkpoint():
    processor = make_processor()
    assert answering.prompt(processor, "what ?") == "USER: <image>\nwhat ? ASSISTANT:"
    processor.chat_template = (
        "{% for message in messages %}{% for part in message['content'] %}"
        "{{ '<image>' if part['type'] == 'image' else '|' + part['text'] }}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}>{% endif %}"
    )
    assert answering.prompt(processor, "what ?") == "<image>|what ?>"


@pytest.mark.parametrize(
    "method", ["vtc-cls", "visionzip", "divprune", "aim"]
)  # the last two project before they choose
def test_the_stopwatch_splits_all_of_the_time_and_leaves_no_hook(photo: Path, method: str):
    model, processor = make_llava(), make_processor()
    with vtc_llava.patch(model, processor, keep=4, method=method) as handle:
        inputs = answering.inputs_of(model, processor, [open_picture(photo)], ["what ?"])
        begin = time.perf_counter()
        with stopwatch(model) as seconds:
            answering.generate(model, inputs, max_new_tokens=3)
        assert set(seconds) == {"encoder", "language model"}
        assert 0 < min(seconds.values()) < max(seconds.values()) < time.perf_counter() - begin
        assert not handle.encoder._forward_pre_hooks
        assert not model.model.multi_modal_projector._forward_hooks


def test_stages_drop_more_in_the_language_model(vtc: Vtc, photo: Path, checkpoint: Path):
    asked = ("ask", photo, "how many red ?", "--model", checkpoint, "--max-new-tokens", 4)
    result = vtc(*asked, "--stage", "fastv:layer=1,keep=0.25")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1:3] == ["36 of 36 visual tokens", "language model: 9 from layer 1 on"]
    result = vtc(*asked, "--keep", 12, "--stage", "fastv:layer=1,keep=0.5")
    assert result.stdout.splitlines()[1:3] == ["12 of 36 visual tokens", "language model: 6 from layer 1 on"]
    result = vtc(*asked, "--stage", "fastv:layer=2")
    assert result.exit_code == 2
    assert result.stderr.startswith("vtc: a stage must cut before a layer in [1, 1] of a language model of 2 layers")
    assert vtc(*asked, "--stage", "slowv").exit_code == 2


def test_stages_alone_need_no_method_of_the_tower(vtc: Vtc, photo: Path, without_cls: Path):
    asked = ("ask", photo, "what ?", "--model", without_cls, "--max-new-tokens", 1)
    assert vtc(*asked).exit_code == 2
    result = vtc(*asked, "--stage", "fastv:layer=1,keep=0.2")
    assert result.stdout.splitlines()[1:3] == ["25 of 25 visual tokens", "language model: 5 from layer 1 on"]
