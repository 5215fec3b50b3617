"""What INPUT is: a folder, a glob, a tar of pictures, or a parquet file, always in the same order.

Every source has `count` pictures, `others` files that are none, a `digest` that changes when the pictures do, and
`read(start, stop)`, which gives those pictures lazily, at any position, and can be pickled: a resumed run and a Ray
worker see what the first run saw.
"""

import glob
import os
from pathlib import Path

from .files import Files, of_folder, of_glob
from .refused import Refused
from .tables import Table, of_parquet
from .tars import Tar, of_tar

Source = Files | Tar | Table

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")


def open_source(where: str, column: str | None = None) -> Source:
    """Look at INPUT and list its pictures; no picture is read.

    Args:
        where: a folder (the pictures in it at any depth), a glob, a .tar, or a .parquet file.
        column: of a parquet file, the column with the pictures; left out, it is guessed if only one can be meant.

    Raises:
        Refused: nothing there, nothing in it, or nothing that pictures can be read from.
        CutOff: a tar that is not whole.
    """
    path, lower = Path(where), where.lower()
    if lower.endswith(COMPRESSED):
        raise Refused(f"{where} is compressed, and pictures are read from any place of it: unpack it first")
    if column is not None and not lower.endswith(".parquet"):
        raise Refused(f"--column is for a parquet file, got {where}")
    if os.path.isdir(where):
        source = of_folder(path)
    elif lower.endswith((".tar", ".parquet")) and glob.has_magic(where) and not os.path.exists(where):
        raise Refused(f"{where}: one tar or parquet file at a time")
    elif lower.endswith((".tar", ".parquet")) and not os.path.isfile(where):
        raise Refused(f"{where}: no such file")
    elif lower.endswith(".tar"):
        source = of_tar(path)
    elif lower.endswith(".parquet"):
        source = of_parquet(path, column)
    else:
        source = of_glob(where)
    if not source.count:
        raise Refused(f"{where} holds no pictures")
    return source
