"""A pruned LLaVA in the onnx-community layout, the folder that transformers.js and other runners read."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

from vtc_core import arguments, checks
from vtc_core.methods import Method, VtcCls

from .export import Report, export
from .runners import LANGUAGE_MODEL, read_processor, write_config, write_generation_config, write_processor

# What transformers.js calls a file with these weights, and how it ends the file's name.
_DTYPES = {
    ("float32", None): ("fp32", ""),
    ("float16", None): ("fp16", "_fp16"),
    ("float32", "int8"): ("int8", "_int8"),
}


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
        write_processor(read_processor(source, config), config.vision_config, int(keep), work)
        encoder = export(source, encoder_path, keep, method, **options, progress=progress)
        progress("writing config")
        data = _rename_data(encoder_path)
        write_config(config, path / "config.json", dtype_name, data, int(keep), work)
        write_generation_config(source, config, work)
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
    if others:
        arguments.vacant(min(others), overwrite)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written: permission denied")


def language_model(folder: Path) -> list[Path]:
    """The files of a language model, external data included, in a folder of this layout."""
    return [file for part in LANGUAGE_MODEL for file in sorted((folder / "onnx").glob(f"{part}*"))]


def _rename_data(encoder: Path) -> bool:
    """Whether the weights are in a file of their own; it is given the name by which transformers.js asks for it."""
    import onnx_ir as ir

    data = encoder.with_name(f"{encoder.name}.data")
    if not data.exists():
        return False
    ir.save(ir.load(encoder), encoder, external_data=f"{encoder.name}_data")
    data.unlink()
    return True
