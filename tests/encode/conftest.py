"""A small corpus, some of it broken, and a worker with the embedded model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import vtc_tiny
from vtc_encode import Recipe, Worker

from .encoding import SCENES, contents, run


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in a Ray worker with one CPU: what is compared to the bit is computed alike. Faster, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes at two depths, PNG and JPEG, and a tenth of broken files among them."""
    folder = tmp_path_factory.mktemp("corpus") / "photos"
    (folder / "sub").mkdir(parents=True)
    for seed in range(SCENES):
        vtc_tiny.scene(seed).image.save(
            folder / ("sub" if seed % 3 else "") / f"{seed:02}.{'png' if seed % 2 else 'jpg'}"
        )
    whole = (folder / "sub" / "01.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "sub" / "text.jpg").write_text("not at all a picture")
    (folder / "zero.webp").touch()
    return folder


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(str(vtc_tiny.PATH), keep=16, dtype="float32", batch=4, threads=2)


@pytest.fixture(scope="session")
def worker(recipe: Recipe) -> Worker:
    return Worker(recipe)


@pytest.fixture(scope="session")
def uninterrupted(worker: Worker, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a folder holds that was filled without a break."""
    out = tmp_path_factory.mktemp("uninterrupted")
    run(worker, photos, out)
    return contents(out)
