"""The language model of a page: of a checkpoint that has one as ONNX the smallest files, else it is exported."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlavaForConditionalGeneration

from vtc_onnx.folder import LANGUAGE_MODEL, language_model
from vtc_onnx.language_model import MOST, export_language_model
from vtc_torch.configuration import read_config
from vtc_torch.reading import read

NAMES = {"": "fp32", "quantized": "q8"}  # how transformers.js calls the dtype by which a file's name ends


def check(source: str) -> None:
    """A ValueError if `source` has neither both parts as ONNX nor a language model that can be exported here."""
    absent = [part for part in LANGUAGE_MODEL if not _kinds(Path(source), part)]
    if len(absent) == 1:
        raise ValueError(f"{source}/onnx holds the other part of a language model, but no {absent[0]}.onnx")
    config = read_config(source)
    if not absent or config.model_type != "llava":  # which is refused by `export_folder`
        return
    with torch.device("meta"):
        model: Any = LlavaForConditionalGeneration(config)
    parts = (model.model.language_model, model.lm_head)
    size = 4 * sum(weight.numel() for part in parts for weight in part.parameters())
    if size > MOST:
        raise ValueError(
            f"{source} has no language model in onnx/, and this one is too large to be exported here: "
            f"{size / 1e9:.1f} GB in float32, {MOST / 1e9:.1f} are the most. Copy its embed_tokens and "
            "decoder_model_merged there from any ONNX export of the same model"
        )


def complete(source: str, folder: Path) -> None:
    """Leave in `folder`, which `export_folder` wrote, one file of each part, the smallest; export what is not there."""
    if not language_model(folder):
        model = read(LlavaForConditionalGeneration, source, "the model", dtype=torch.float32)
        export_language_model(model, folder / "onnx")
    for part in LANGUAGE_MODEL:
        kinds = _kinds(folder, part)
        smallest = min(kinds, key=lambda files: sum(file.stat().st_size for file in files))
        for file in {file for kind in kinds for file in kind} - set(smallest):
            file.unlink()


def files(folder: Path) -> dict[str, dict[str, Any]]:
    """For each part of a model: its dtype in transformers.js's words, and the number of files with its weights."""
    found = {}
    for part in ("vision_encoder", *LANGUAGE_MODEL):
        ((file, *data),) = _kinds(folder, part)
        suffix = file.stem.removeprefix(part).removeprefix("_")
        found[part] = {"dtype": NAMES.get(suffix, suffix), "data": len(data)}
    return found


def _kinds(folder: Path, part: str) -> list[list[Path]]:
    """Of each dtype in which a part is there, the file and those with its weights."""
    return [sorted(folder.glob(f"onnx/{file.name}*")) for file in folder.glob(f"onnx/{part}*.onnx")]
