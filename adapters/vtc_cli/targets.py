"""Where `vtc export` may write, looked at before any work is done."""

import os
from pathlib import Path

from .errors import BadUsage


def check_target(model: str, out: Path, layout: str, overwrite: bool) -> None:
    """Refuse a place where nothing can be written, or where something is already."""
    try:
        from vtc_onnx.folder import check_place
    except ImportError as error:
        raise BadUsage(f"vtc export needs what pip install 'vtc-cls[onnx]' brings ({error})") from error
    if layout == "file":
        return _check_file(out, overwrite)
    try:
        check_place(model, out, overwrite)
    except (OSError, ValueError) as error:
        raise BadUsage(str(error)) from error


def _check_file(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise BadUsage(f"{path} is a folder: a file is wanted, or --layout onnx-community")
    if path.suffix.lower() != ".onnx":
        raise BadUsage(f"{path} must end in .onnx")
    if not path.parent.is_dir():
        raise BadUsage(f"{path}: there is no folder {path.parent}")
    if path.exists() and not overwrite:
        raise BadUsage(f"{path} is there already: --overwrite replaces it")
    if not os.access(path.parent, os.W_OK):  # a file is replaced by another of its name, whatever its own permissions
        raise BadUsage(f"{path} cannot be written: permission denied")
