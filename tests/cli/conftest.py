"""Checkpoint folders with random weights, a picture, and a way to run the command."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_models import make_llava, make_processor, picture, save_llava
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, LlavaForConditionalGeneration
from typer.testing import CliRunner, Result

from vtc_cli.app import app
from vtc_tiny.checkpoint import published

from .spoiling import Change


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of 24 x 24 pictures, 6 x 6 patches, 5 encoder layers, no chat template."""
    return save_llava(tmp_path_factory.mktemp("small-llava"))


@pytest.fixture
def spoilt(checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the checkpoint with these changes."""

    def copy(*changes: Change) -> Path:
        folder = tmp_path / "F"
        shutil.copytree(checkpoint, folder)
        for change in changes:
            change(folder)
        return folder

    return copy


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test fails that gets as far as reading weights."""

    def read(*_: object, **__: object) -> None:
        pytest.fail("weights were read")

    for module in ("vtc_torch.loading", "vtc_llava.patching", "vtc_cli.models"):
        monkeypatch.setattr(f"{module}.read", read)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    picture(0, 64, 48).save(path)
    return path


@pytest.fixture
def vtc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `vtc` with these words in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words], prog_name="vtc")


@pytest.fixture
def llava_15(tmp_path: Path) -> Iterator[Path]:
    """A checkpoint in the shape of LLaVA-1.5: its very tower, ViT-L/14-336, and a small language model."""
    tower = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    with torch.device("meta"):  # 300 million parameters: their own initialisation would take longer than the test
        model = make_llava(vision_config=tower, image_seq_length=576)
    folder = tmp_path / "llava-1.5-random"
    model.config.dtype = "bfloat16"
    model.config.save_pretrained(folder)
    save_file(random_weights(model), folder / "model.safetensors", metadata={"format": "pt"})
    processor = make_processor()
    processor.image_processor = CLIPImageProcessorPil(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
    )
    processor.patch_size = 14
    processor.save_pretrained(folder)
    yield folder
    (folder / "model.safetensors").unlink()  # 600 MB: pytest keeps the folders of three runs


def random_weights(model: LlavaForConditionalGeneration) -> dict[str, torch.Tensor]:
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.02, 1 << 20)).bfloat16()
    weights = {}
    for name, tensor in model.state_dict().items():
        value = noise.repeat(-(-tensor.numel() // len(noise)))[: tensor.numel()].reshape(tensor.shape)
        weights[published(name)] = value + 1 if "norm" in name and "weight" in name else value
    return weights
