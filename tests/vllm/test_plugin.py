"""`register`: found by its entry point, any number of times, and nothing of vLLM's own is changed."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from vllm import ModelRegistry
from vllm.model_executor.models import llava, llava_next

import vtc_vllm
from vtc_vllm.plugin import ARCHITECTURES

FRESH = """
import sys

from vllm import ModelRegistry
from vllm.model_executor.models.config import MODELS_CONFIG_MAP

import vtc_vllm

models, configurations = {**ModelRegistry.models}, {**MODELS_CONFIG_MAP}
for _ in range(2):
    vtc_vllm.register()
    assert ModelRegistry.models.keys() - models.keys() == set(sys.argv[1:])
    assert all(ModelRegistry.models[name] is made for name, made in models.items())
    assert all(MODELS_CONFIG_MAP[name] is made for name, made in configurations.items())
imported = {"vtc_vllm.encoder", "vtc_vllm.llava", "vtc_vllm.processing", "vtc_torch"} & sys.modules.keys()
assert not imported, imported
"""


def test_it_is_found_by_its_entry_point():
    (found,) = entry_points(group="vllm.general_plugins", name="vtc")
    assert found.load() is vtc_vllm.register


def test_it_may_be_called_again_leaves_stock_models_alone_and_imports_none():
    done = subprocess.run([sys.executable, "-c", FRESH, *ARCHITECTURES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_its_models_are_subclasses_and_stock_classes_stay(architecture: str):
    stock = {**vars(llava), **vars(llava_next)}[architecture.removeprefix("Vtc")]
    factories, methods = stock._processor_factory, {**vars(stock)}
    vtc_vllm.register()
    made = ModelRegistry.models[architecture].load_model_cls()
    assert issubclass(made, stock)
    assert made._processor_factory is not factories
    assert stock._processor_factory is factories
    assert {**vars(stock)} == methods
