"""What the page runs on, out of npm's registry: transformers.js, and the WebAssembly of onnxruntime-web.

npm fetches and caches two packages as they were published (35 MB). Nothing of them is installed or run: four files
are copied out.
"""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    name: str  # as npm spells it, with the version
    integrity: str  # of the archive, as lock files spell it
    files: tuple[str, ...]  # that are copied


# These two belong together: it is this build of onnxruntime-web that this transformers.js has inside.
PACKAGES = (
    Package(
        "@huggingface/transformers@4.3.1",
        "sha512-5+voSeUCFK6PCKlY15dPhNOKq3/zOTxDN7oC+Wy9dFb1QZ0TSQomZRRy7URRK8YRuUoE9fGMQTTPC5d/pWBJhA==",
        ("LICENSE", "dist/transformers.min.js"),
    ),
    Package(
        "onnxruntime-web@1.31.0-dev.20260914-8d85527a0",
        "sha512-Iy7rtadoBgxS/LLvDr3QW38DB1PNXRnr0GJMcL0TAt7c9qjgVQl83UlGCVyeAnK2InpmW8Uc3PL8XIuqtDeF6g==",
        ("dist/ort-wasm-simd-threaded.asyncify.mjs", "dist/ort-wasm-simd-threaded.asyncify.wasm"),
    ),
)


def copy(folder: Path) -> None:
    """Copy the files of all `PACKAGES` into `folder`, which exists, beside each other.

    Raises:
        FileNotFoundError: there is no npm.
        RuntimeError: npm could not get a package, in its own words, or got another than the one that is meant.
    """
    npm = find_npm()
    with tempfile.TemporaryDirectory() as place:
        for package in PACKAGES:
            archive = _fetch(npm, package, Path(place))
            with tarfile.open(archive) as tar:
                for file in package.files:
                    source = tar.extractfile(f"package/{file}")
                    assert source is not None
                    with source, (folder / Path(file).name).open("xb") as target:
                        shutil.copyfileobj(source, target)


def find_npm() -> str:
    """The npm on the path, or an error that says what it is for."""
    npm = shutil.which("npm")
    if npm is None:
        names = " and ".join(package.name for package in PACKAGES)
        raise FileNotFoundError(f"npm is needed once, to fetch {names}: install Node.js, which brings it")
    return npm


def _fetch(npm: str, package: Package, place: Path) -> Path:
    before = set(place.iterdir())
    command = [npm, "pack", package.name, "--pack-destination", place, "--prefer-offline", "--loglevel=error"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place)
    if done.returncode:
        raise RuntimeError(f"npm cannot get {package.name}: {_first_error(done.stderr)}")
    (archive,) = set(place.iterdir()) - before
    digest = hashlib.sha512(archive.read_bytes()).digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != package.integrity:
        raise RuntimeError(f"what npm got for {package.name} is not the archive that was published under this name")
    return archive


def _first_error(words: str) -> str:
    lines = [line.removeprefix("npm error").strip() for line in words.splitlines()]
    return next((line for line in lines if line and not line.startswith("code ")), "no reason given")
