"""A small checkpoint, and an npm that has the packages at hand."""

import base64
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from small_models import save_llava

from vtc_page import libraries


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of 24 x 24 pictures, 6 x 6 patches, no chat template."""
    return save_llava(tmp_path_factory.mktemp("small-llava"))


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with an `npm pack` that writes archives of the files that are wanted, each with its name."""
    folder = tmp_path / "npm"
    folder.mkdir()
    packages = []
    for number, package in enumerate(libraries.PACKAGES):
        with tarfile.open(folder / f"{number}.tgz", "w:gz") as tar:
            for file in (*package.files, "dist/unwanted.js"):
                member = tarfile.TarInfo(f"package/{file}")
                member.size = len(file)
                tar.addfile(member, io.BytesIO(file.encode()))
        digest = hashlib.sha512((folder / f"{number}.tgz").read_bytes()).digest()
        packages.append(package._replace(integrity=f"sha512-{base64.b64encode(digest).decode()}"))
    monkeypatch.setattr(libraries, "PACKAGES", tuple(packages))
    cases = "".join(f"  {package.name}) cp {folder}/{number}.tgz $4/ ;;\n" for number, package in enumerate(packages))
    script = folder / "npm"
    script.write_text(f"#!/bin/sh\ncase $2 in\n{cases}esac\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return script
