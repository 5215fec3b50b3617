"""A pruned LLaVA in the onnx-community layout, the folder that transformers.js and other runners read."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from vtc_core import checks
from vtc_core.methods import Method, VtcCls

from .export import Report, export

# What transformers.js calls a file with these weights, and how it ends the file's name.
_DTYPES = {
    ("float32", None): ("fp32", ""),
    ("float16", None): ("fp16", "_fp16"),
    ("float32", "int8"): ("int8", "_int8"),
}
LANGUAGE_MODEL = ("embed_tokens", "decoder_model_merged")  # pruning pictures changes neither


class ExportedFolder(NamedTuple):
    """What `export_folder` wrote."""

    path: Path
    encoder: Report  # of the vision encoder, as `export` returns it
    keep: int  # placeholders that the processor writes for a picture
    absent: tuple[str, ...]  # parts of the language model that a runner needs and the folder does not have


def export_folder(
    source: str | Path,
    path: str | Path,
    keep: SupportsIndex = 64,
    method: Method | str | Mapping[str, Any] = VtcCls(),  # noqa: B008, it is frozen
    *,
    static_keep: bool = True,
    weights: bool = False,
    dtype: str = "float32",
    quantize: str | None = None,
    overwrite: bool = False,
    progress: Callable[[str], object] = lambda step: None,
) -> ExportedFolder:
    """Write a LLaVA checkpoint's pruned vision encoder, and the config and processor that go with it, to a folder.

        config.json, processor_config.json, preprocessor_config.json, tokenizer.json, ...
        onnx/vision_encoder.onnx                              _fp16 or _int8 before the dot
        onnx/embed_tokens.onnx, decoder_model_merged.onnx     of any export of this checkpoint's language model

    The last two are copied from `source`/onnx where it has them; those already in `path` stay.

    Modifications to what the checkpoint says of itself, so that whoever reads the folder writes `keep` placeholders:

    - config: `image_seq_length` is `keep`; `transformers.js_config` names the encoder's dtype, without which browsers
      look for a `_quantized` file; the language model's settings are spelled out, as transformers.js knows no defaults;
    - processor: `num_additional_image_tokens` is `keep` - tokens, a negative number. transformers.js writes a
      placeholder for each patch and so many more; transformers one less under the strategy "default", which is "full"
      here: the file's output is taken as it is;
    - image processor in a file of its own, chat template also in `tokenizer_config.json`: where transformers.js looks.

    Args:
        source: folder or hub id of a checkpoint of `model_type` "llava".
        path: the folder to be written; its parent exists.
        static_keep: as runners need it that feed `pixel_values` alone, such as transformers.js. False is for those who
            run the encoder's session themselves, and write as many placeholders as they feed.
        keep, method, weights, dtype, quantize: as in `export`.
        overwrite: replace what is there. Without it `path` may hold no more than a language model's files.
        progress: is told each step, in words.

    Raises:
        ImportError, ValueError, TypeError, OSError, RuntimeError: as `export`; also a source that is no LLaVA, or whose
            processor does not fit its tower, and a `path` that is `source`. Nothing is left behind then.
    """
    from vtc_torch.configuration import read_config

    source, path = str(source), Path(path)
    check_place(source, path, overwrite)
    checks.budget(keep)
    config = read_config(source)
    if config.model_type != "llava":
        raise ValueError(
            f"{source} is of model_type {config.model_type!r}: the onnx-community layout is for a LLaVA ('llava')"
        )
    dtype_name, suffix = _DTYPES.get((dtype, quantize), ("", ""))  # `export` refuses others
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as name:
        work = Path(name)
        onnx = work / "onnx"
        onnx.mkdir()
        encoder_path = onnx / f"vision_encoder{suffix}.onnx"
        # Fixed or fed: an input with a default would need no feeding either, but the JavaScript runtimes let nobody
        # feed it, warn of it at every start, and fold no constants that depend on it.
        options: dict[str, Any] = {
            "static_keep": static_keep, "weights": weights, "dtype": dtype, "quantize": quantize
        }  # fmt: skip
        _write_processor(_read_processor(source, config), config.vision_config, int(keep), work)
        encoder = export(source, encoder_path, keep, method, **options, progress=progress)
        progress("writing config")
        data = _rename_data(encoder_path)
        _write_config(config, path / "config.json", dtype_name, data, int(keep), work)
        _write_generation_config(source, config, work)
        for file in language_model(Path(source)):
            if not (path / "onnx" / file.name).exists():
                progress(f"copying {file.name}")
                shutil.copyfile(file, onnx / file.name)
        (path / "onnx").mkdir(parents=True, exist_ok=True)
        finished = [file for file in work.rglob("*") if file.is_file()]
        for file in sorted(finished, key=lambda file: file.name == "config.json"):  # which comes last
            os.replace(file, path / file.relative_to(work))
    there = {file.name for file in language_model(path)}
    absent = tuple(part for part in LANGUAGE_MODEL if not any(name.startswith(part) for name in there))
    return ExportedFolder(path, encoder._replace(path=path / encoder_path.relative_to(work)), int(keep), absent)


def check_place(source: str, path: Path, overwrite: bool) -> None:
    """Refuse a folder that cannot or must not be written, before any work."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file: the onnx-community layout is a folder")
    if path.is_dir() and Path(source).is_dir() and path.samefile(source):
        raise ValueError(f"{path} is the checkpoint itself, and would no longer fit its own processor: name another")
    others = set(path.rglob("*")) - {path / "onnx", *language_model(path)}
    if others and not overwrite:
        raise ValueError(f"{min(others)} is there already, and overwrite is not set")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written: permission denied")


def language_model(folder: Path) -> list[Path]:
    """The files of a language model, external data included, in a folder of this layout."""
    return [file for part in LANGUAGE_MODEL for file in sorted((folder / "onnx").glob(f"{part}*"))]


def _read_processor(source: str, config: Any) -> Any:
    """A processor that fits the tower, or a ValueError."""
    from transformers import AutoProcessor

    from vtc_torch import held
    from vtc_torch.configuration import UNTRUSTED, as_data
    from vtc_torch.loading import tower_config
    from vtc_torch.processors import check_image_processor

    held.check_tower(source, config)
    with as_data(source):
        processor: Any = AutoProcessor.from_pretrained(source, **UNTRUSTED)
    check_image_processor(processor.image_processor, tower_config(config, source), source)
    return processor


def _write_processor(processor: Any, vision_config: Any, keep: int, folder: Path) -> None:
    side, patch = vision_config.image_size, vision_config.patch_size
    processor.patch_size = patch
    processor.num_additional_image_tokens = keep - (side // patch) ** 2
    processor.vision_feature_select_strategy = "full"
    blank = np.zeros((side, side, 3), np.uint8)
    ids = processor(images=blank, text=processor.image_token)["input_ids"][0]
    written = ids.count(processor.image_token_id)
    if written != keep:
        raise ValueError(f"the processor does not fit the tower: it writes {written} placeholders, not {keep}")
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    _update(folder / "preprocessor_config.json", processor_class="LlavaProcessor")
    if processor.chat_template is not None:
        _update(folder / "tokenizer_config.json", chat_template=processor.chat_template)


def _rename_data(encoder: Path) -> bool:
    """Whether the weights are in a file of their own; it is given the name by which transformers.js asks for it."""
    import onnx_ir as ir

    data = encoder.with_name(f"{encoder.name}.data")
    if not data.exists():
        return False
    ir.save(ir.load(encoder), encoder, external_data=f"{encoder.name}_data")
    data.unlink()
    return True


def _write_config(config: Any, earlier: Path, dtype: str, data: bool, keep: int, folder: Path) -> None:
    """`earlier` holds what those who exported the language model told transformers.js of its files, if anybody did."""
    known = json.loads(earlier.read_text()) if earlier.is_file() else config.to_dict()
    settings = known.get("transformers.js_config", {})
    settings = settings | {
        "dtype": _for_encoder(dtype, settings.get("dtype")),
        "use_external_data_format": _for_encoder(data, settings.get("use_external_data_format")),
    }
    config.image_seq_length = keep
    setattr(config, "transformers.js_config", settings)
    config.save_pretrained(folder)


def _for_encoder(value: Any, setting: Any) -> dict[str, Any]:
    """A setting of transformers.js, one for all files or one for each name, with `value` for the vision encoder."""
    each = setting if isinstance(setting, dict) else {part: setting for part in LANGUAGE_MODEL if setting is not None}
    return {name: of for name, of in each.items() if not name.startswith("vision_encoder")} | {"vision_encoder": value}


def _write_generation_config(source: str, config: Any, folder: Path) -> None:
    from transformers import GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(source)
    except OSError:  # a checkpoint without one
        generation = GenerationConfig.from_model_config(config)
    generation.save_pretrained(folder)


def _update(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes, indent=2, ensure_ascii=False) + "\n")
