"""A checkpoint in the Hugging Face layout, in a folder or on the hub: its configuration, and its tensors one by one."""

import functools
import json
import re
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from vtc_core import checkpoints

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


class Checkpoint:
    """`config.json` and the names of all tensors; tensors are read when asked for, from memory-mapped files.

    Raises:
        OSError: neither a folder nor on the hub, or no `config.json` or no safetensors in it.
    """

    def __init__(self, path_or_hub_id: str | PathLike[str], **hub_kwargs: Any) -> None:
        self.name = str(path_or_hub_id)
        self._hub_kwargs = hub_kwargs
        folder = self._fetch(CONFIG, INDEX)
        if not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"{self.name} is no checkpoint in the Hugging Face layout: it has no {CONFIG}")
        self.config: dict[str, Any] = json.loads((folder / CONFIG).read_text())

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """The name of every tensor, and of the file that holds it."""
        index = self._fetch(CONFIG, INDEX) / INDEX
        if index.is_file():
            held = json.loads(index.read_text())["weight_map"]
            return {name: checkpoints.inside(file) for name, file in held.items()}
        weights = self._fetch(WEIGHTS) / WEIGHTS
        if not weights.is_file():
            raise FileNotFoundError(
                f"{self.name} has no {WEIGHTS} and no {INDEX}; other formats, such as pytorch_model.bin, are not read: "
                "python -m vtc_torch.unpickle FOLDER writes such a folder's weights once more, as safetensors"
            )
        with _open(weights) as file:
            return dict.fromkeys(file.keys(), WEIGHTS)

    def shapes(self, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
        return {name: tuple(file.get_slice(name).get_shape()) for file, name in self._held(names)}

    def tensors(self, names: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
        for file, name in self._held(names):
            yield name, file.get_tensor(name)

    def _held(self, names: Iterable[str]) -> Iterator[tuple[Any, str]]:
        """Every name with its open file, file by file; nothing but the files that hold them is fetched."""
        by_file: dict[str, list[str]] = {}
        for name in names:
            by_file.setdefault(self.files[name], []).append(name)
        folder = self._fetch(*by_file)
        for file_name, held in by_file.items():
            if not (folder / file_name).is_file():
                raise FileNotFoundError(f"{self.name} lacks the file {file_name}, which holds {held[0]}")
            with _open(folder / file_name) as file:
                yield from ((file, name) for name in held)

    def _fetch(self, *files: str) -> Path:
        """The folder where those of the files are that there are."""
        if (folder := Path(self.name)).is_dir():
            return folder
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.name):
            raise FileNotFoundError(f"there is no folder {self.name}, and it is no hub id (owner/name) either")
        from huggingface_hub import snapshot_download  # of use for hub ids only

        return Path(snapshot_download(self.name, allow_patterns=list(files), **self._hub_kwargs))


def _open(path: Path) -> Any:
    try:
        return safe_open(path, "numpy")
    except SafetensorError as error:
        raise OSError(f"{path} is no safetensors file; is it cut short, or a Git LFS pointer? ({error})") from error
