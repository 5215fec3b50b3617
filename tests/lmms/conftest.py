"""In an environment of its own, with lmms-eval; a bare `pytest` does not collect this folder. From the project's root:

    PYTHONPATH=tests/vllm/shim python -m pytest -q tests/lmms

The shim is for a torchvision that does not fit torch, see there.
"""

import os

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYTHONPATH"] = os.pathsep.join(
    os.path.abspath(folder) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder
)  # commands run in another folder


@pytest.fixture(scope="session", autouse=True)
def datasets_of_its_own(tmp_path_factory):
    """Commands that the tests start inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
        yield
