"""Pickled weights made into safetensors: every tensor, nothing run, nothing half-written."""

import pytest
import torch
from safetensors.torch import load_file
from small_models import make_tower, same

from vtc_torch.unpickle import unpickle


def test_one_file_with_tied_and_strided_tensors(tmp_path):
    held = {**make_tower().state_dict(), "strided": torch.arange(12.0).reshape(3, 4).T, "half": torch.ones(2).half()}
    held["tied"] = held["half"]
    torch.save(held, tmp_path / "pytorch_model.bin")
    assert unpickle(tmp_path) == [tmp_path / "model.safetensors"]
    made = load_file(tmp_path / "model.safetensors")
    assert made.keys() == held.keys()
    for name, tensor in held.items():
        same(made[name], tensor)
    with pytest.raises(FileExistsError, match=r"model\.safetensors is there already"):
        unpickle(tmp_path)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "second", [Evil, lambda path: {"x": Evil(path)}, lambda path: [1]], ids=["code", "inside", "list"]
)
def test_more_than_tensors_is_refused_and_nothing_is_written(second, tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save(second(tmp_path / "run"), tmp_path / "pytorch_model-00002-of-00002.bin")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(
        ValueError, match=r"00002\.bin holds more than tensors, which could run code, and stays as it is"
    ):
        unpickle(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_without_pickles(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no pytorch_model\*\.bin"):
        unpickle(tmp_path)
