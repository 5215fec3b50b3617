"""The picture that a command is given, and the place where it writes one."""

import os
from pathlib import Path

from PIL import Image

from vtc_pictures import Unreadable, read_picture

from .errors import BadUsage


def open_picture(path: Path) -> Image.Image:
    """`vtc_pictures.read_picture` of a file.

    Raises:
        BadUsage: no such file, not a picture, damaged, or absurdly large.
    """
    try:
        with path.open("rb") as file:
            return read_picture(file)
    except (FileNotFoundError, NotADirectoryError):
        raise BadUsage(f"{path}: no such file") from None
    except IsADirectoryError:
        raise BadUsage(f"{path} is a folder, not a picture") from None
    except PermissionError:
        raise BadUsage(f"{path} cannot be read: permission denied") from None
    except Unreadable as error:
        raise BadUsage(f"{path} {error}") from error.__cause__


def check_out(path: Path) -> None:
    """Refuse a place where no PNG can be written, before any work is done for it."""
    folder = path.parent
    if path.suffix.lower() != ".png":
        raise BadUsage(f"--out {path} must end in .png")
    if path.is_dir():
        raise BadUsage(f"--out {path} is a folder")
    if not folder.is_dir():
        raise BadUsage(f"--out {path}: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise BadUsage(f"--out {path} cannot be written: permission denied")
