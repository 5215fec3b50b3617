"""One line and the right exit code, whatever is asked."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import huggingface_hub
import pytest
from safetensors.torch import save_file

from vtc_cli import ask as ask_module
from vtc_cli.app import app

from .running import Vtc

MAIN = [sys.executable, "-c", "from vtc_cli.app import main; main()"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch"], "No such command 'nosuch' (see vtc --help)"),
        (["--nosuch"], "No such option: --nosuch (see vtc --help)"),
        (["ask"], "Missing argument 'IMAGE' (see vtc ask --help)"),
        (["ask", "a.png", "what ?", "--nosuch"], "No such option: --nosuch"),
        (["ask", "a.png", "what ?", "--keep", "many"], "Invalid value for '--keep'"),
        (["ask", "a.png", "what ?", "--reduce", "avg"], "Invalid value for '--reduce'"),
        (["ask", "a.png", "what ?", "--max-new-tokens", "0"], "Invalid value for '--max-new-tokens'"),
        (["ask", "a.png", "what ?"], "a.png is not there"),
        (["show", "a.png"], "a.png is not there"),
        (["demo", "--scenes", "0"], "Invalid value for '--scenes'"),
    ],
)
def test_bad_usage_is_one_line_and_2(vtc: Vtc, words: list[str], message: str):
    result = vtc(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"vtc: {message}")
    assert result.stderr.count("\n") == 1


def spoiled(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.json").write_text(text)
    return folder


def test_models_that_are_none(vtc: Vtc, photo: Path, checkpoint: Path, tmp_path: Path):
    no_weights = spoiled(tmp_path / "no-weights")
    for file in checkpoint.glob("*.json"):
        (no_weights / file.name).write_bytes(file.read_bytes())
    for model, message in [
        (spoiled(tmp_path / "empty"), "is a folder without a config.json: not a checkpoint"),
        (photo, "is a file: a folder or a hub id is needed"),
        (tmp_path / "nowhere" / "at" / "all", ": no such folder, and not the form of a hub id either"),
        (spoiled(tmp_path / "untyped", config="{}"), "cannot be loaded: Unrecognized model"),
        (spoiled(tmp_path / "broken", config="{"), "cannot be loaded: It looks like the config file"),
        (
            spoiled(tmp_path / "text-only", config='{"model_type": "llama"}'),
            "only CLIP and InternVL towers",
        ),
        (no_weights, "cannot be loaded: Error no file named model.safetensors"),
    ]:
        for words in (["ask", photo, "what ?"], ["show", photo]):
            result = vtc(*words, "--model", model)
            assert result.exit_code == 2, result.output
            assert result.stderr.startswith(f"vtc: --model {model}")
            assert message in result.stderr
            assert result.stderr.count("\n") == 1


def test_damaged_weights(vtc: Vtc, photo: Path, checkpoint: Path, tmp_path: Path):
    damaged = spoiled(tmp_path / "damaged")
    for file in checkpoint.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes()[:3000])
    (damaged / "tokenizer.json").write_bytes((checkpoint / "tokenizer.json").read_bytes())
    result = vtc("show", photo, "--model", damaged)
    assert result.exit_code == 2
    assert "cannot be loaded: SafetensorError: Error while deserializing header" in result.stderr


def test_a_checkpoint_without_its_tower(vtc: Vtc, photo: Path, checkpoint: Path, tmp_path: Path):
    folder = spoiled(tmp_path / "headless")
    for file in checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    save_file({}, folder / "model.safetensors", metadata={"format": "pt"})
    result = vtc("show", photo, "--model", folder)
    assert result.exit_code == 2
    assert "tensors of its vision tower" in result.stderr


def test_a_hub_id_without_a_network(vtc: Vtc, photo: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def unreachable(self: object, repo_id: str, timeout: float) -> NoReturn:
        asked.append(repo_id)
        raise ConnectionError("[Errno -2] Name or service not known\nand more of it")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    result = vtc("ask", photo, "what ?", "--model", "nobody/no-such-llava")
    assert asked == ["nobody/no-such-llava"]  # once: no retries
    assert result.exit_code == 2
    assert result.stderr == (
        "vtc: --model nobody/no-such-llava is neither a folder nor reachable on the Hugging Face hub "
        "([Errno -2] Name or service not known)\n"
    )


def test_a_former_download_serves_without_a_network(
    vtc: Vtc, photo: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    def unreachable(*_: object, **__: object) -> NoReturn:
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda model, local_files_only: str(checkpoint))
    assert vtc("show", photo, "--model", "somebody/some-llava").exit_code == 0


def test_failed_work_is_one_line_and_1(vtc: Vtc, photo: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("the work failed\nfor a long reason")

    monkeypatch.setattr(ask_module.answering, "generate", fail)
    words = ["ask", photo, "what ?", "--model", checkpoint]
    result = vtc(*words)
    assert (result.exit_code, result.stderr) == (1, "vtc: RuntimeError: the work failed\n")
    result = vtc(*words, "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "for a long reason" in result.stderr
    assert result.stderr.endswith("vtc: RuntimeError: the work failed\n")


def test_ctrl_c_is_130(vtc: Vtc, photo: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("vtc_cli.pictures.open_picture", interrupted)
    result = vtc("ask", photo, "what ?")
    assert (result.exit_code, result.stderr, result.stdout) == (130, "", "")


def test_version(vtc: Vtc):
    result = vtc("--version")
    assert (result.exit_code, result.stdout) == (0, f"vtc {version('vtc-cls')}\n")


def test_help(vtc: Vtc):
    assert vtc().stdout == vtc("--help").stdout
    for command in app.registered_commands:
        assert command.callback
        result = vtc(command.callback.__name__, "--help")
        assert result.exit_code == 0
        assert f"Example: vtc {command.callback.__name__}" in result.stdout


def test_the_script_itself(tmp_path: Path):
    helped = subprocess.run([*MAIN, "--help"], capture_output=True, text=True)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "vtc demo" in helped.stdout
    refused = subprocess.run([*MAIN, "ask", "nowhere.png", "what ?"], capture_output=True, text=True, cwd=tmp_path)
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", "vtc: nowhere.png is not there\n")


def test_help_imports_nothing_heavy():
    code = (
        "import sys, vtc_cli.app; print(*{'torch', 'transformers', 'matplotlib', 'numpy', 'PIL'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
