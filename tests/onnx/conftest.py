"""Exported files for all tests that only look."""

import onnx
import pytest
import torch
from small_models import make_tower

import vtc_onnx
from vtc_core.methods import VtcCls

from .small import small


@pytest.fixture(scope="session")
def tower():
    """With biases: those of a new tower are zero, and the exporter would store one for all."""
    tower = make_tower(depth=5, dim=32, heads=4, grid=6)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    return tower


@pytest.fixture(scope="session")
def exported(tower, tmp_path_factory):
    """(report, path, the steps that were told) of one export, for all tests that only look."""
    path, steps = tmp_path_factory.mktemp("onnx") / "encoder.onnx", []
    return vtc_onnx.export(tower, path, keep=7, progress=steps.append), path, steps


@pytest.fixture(scope="session")
def model(exported):
    return onnx.load(exported[1])


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    """An exported file of the smallest tower, with 4 of its 9 tokens."""
    path = tmp_path_factory.mktemp("onnx") / "e.onnx"
    vtc_onnx.export(small(), path, 4, VtcCls(1))
    return path
