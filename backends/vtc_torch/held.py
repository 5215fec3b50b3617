"""What the weights of a checkpoint are, from their headers alone: name, shape and dtype of every tensor."""

import json
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors import safe_open

from vtc_core import checkpoints

FORMATS = {"model": "safetensors", "pytorch_model": "bin"}  # the first that is there is read
FLOATS = ("F64", "F32", "F16", "BF16", "torch.float64", "torch.float32", "torch.float16", "torch.bfloat16")


class Header(NamedTuple):
    """Of one tensor; the dtype in the words of its file format."""

    shape: tuple[int, ...]
    dtype: str


def headers(path_or_hub_id: str, **hub_kwargs: Any) -> dict[str, Header]:
    """The header of every tensor by name; nothing where no file of the usual names is there.

    Raises:
        ValueError: an index that names files elsewhere; pickles that hold more than tensors.
        OSError, SafetensorError: files that an index names are missing, or damaged.
    """
    found: dict[str, Header] = {}
    for file in _files(path_or_hub_id, hub_kwargs):
        found.update(_of_safetensors(file) if file.suffix == ".safetensors" else _of_pickle(file))
    return found


def check_tower(path_or_hub_id: str, config: Any, **hub_kwargs: Any) -> dict[str, Header]:
    """The headers of a checkpoint whose configuration describes the tensors of its tower; ValueError if it does not.

    To be called before anything is made of the configuration's numbers, such as a picture of that size.
    """
    found = headers(path_or_hub_id, **hub_kwargs)
    vision_config = getattr(config, "vision_config", config)
    key = "" if vision_config is config else "vision_config."
    checkpoints.tower_depth(vision_config.num_hidden_layers, found, key)
    unpacked = {name: header.shape for name, header in found.items() if header.dtype in FLOATS}
    checkpoints.tower_tensors(vision_config.to_dict(), unpacked, key)
    return found


def refuse_quantised(name: str, found: dict[str, Header], projector: bool) -> None:
    """A ValueError for a tower, or its projector, whose weights mean nothing without scales that belong to them."""
    parts = {"vision tower": f"{checkpoints.tower_prefix(found)}encoder."}
    parts |= {"projector": "multi_modal_projector."} if projector else {}
    for key, header in found.items():
        part = next((part for part, words in parts.items() if words in key), None)
        if part and header.dtype not in FLOATS:
            raise ValueError(
                f"the {part} of {name} is quantised ({key} is {header.dtype}), and alone it can be read in "
                "floating point only: take the checkpoint that this one was made of"
            )


def _files(name: str, hub_kwargs: dict[str, Any]) -> Iterator[Path]:
    for stem, suffix in FORMATS.items():
        if whole := _file(name, f"{stem}.{suffix}", hub_kwargs):
            yield whole
            return
        if index := _file(name, f"{stem}.{suffix}.index.json", hub_kwargs):
            parts = json.loads(index.read_text())["weight_map"].values()
            for part in dict.fromkeys(map(checkpoints.inside, parts)):
                held = _file(name, part, hub_kwargs)
                if held is None:
                    raise FileNotFoundError(f"{name} lacks the file {part}, which {index.name} names")
                yield held
            return


def _file(name: str, file: str, hub_kwargs: dict[str, Any]) -> Path | None:
    if Path(name).is_dir():
        path = Path(name, hub_kwargs.get("subfolder") or "", file)
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(name, file, **hub_kwargs))
    except EntryNotFoundError:
        return None


def _of_safetensors(file: Path) -> dict[str, Header]:
    with safe_open(file, "pt") as held:
        slices = {name: held.get_slice(name) for name in held.keys()}  # noqa: SIM118, it is no mapping
        return {name: Header(tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}


def _of_pickle(file: Path) -> dict[str, Header]:
    try:
        held = torch.load(file, map_location="meta", weights_only=True)
        return {name: Header(tuple(tensor.shape), str(tensor.dtype)) for name, tensor in held.items()}
    except (UnpicklingError, AttributeError) as error:  # an AttributeError: no mapping, or no tensors in it
        raise ValueError(
            f"{file.name} is a pickle that holds more than tensors, which could run code: it is not read, "
            "and has to come as safetensors"
        ) from error
