"""Opening files by names that nobody has checked: a refusal is a reason, never a wait."""

import errno
import io
import os
import stat

from .unreadable import Unreadable

# Of the name or of what bears it. Anything else (a disk that fails, too many open files) is the machine's fault.
REASONS = {
    errno.ENOENT: "is not there",
    errno.ENOTDIR: "is not there",
    errno.EACCES: "cannot be read: permission denied",
    errno.EPERM: "cannot be read: permission denied",
    errno.ELOOP: "is a link that leads back to itself",
    errno.ENAMETOOLONG: "is too long for the name of a file",
    errno.ENXIO: "is not a file",
    errno.ENODEV: "is not a file",
    errno.EINVAL: "is not the name of a file",
}
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def why_unreadable(error: OSError | ValueError) -> str:
    """Why a file or folder cannot be read, in words that follow its name."""
    number = error.errno if isinstance(error, OSError) else None
    return REASONS.get(number or 0) or f"cannot be read: {getattr(error, 'strerror', None) or error}"


def open_file(path: str | os.PathLike[str]) -> io.BufferedReader:
    """A file with something in it, opened.

    Raises:
        Unreadable: nothing there, nothing in it (as in the files of /proc, which may be waited for), or not a file.
        OSError: the machine's fault, and no other file would do better.
    """
    try:
        state = os.stat(path)
        if (kind := stat.S_IFMT(state.st_mode)) != stat.S_IFREG:
            raise Unreadable(f"is {KINDS.get(kind, 'something else')}, not a picture")
        if not state.st_size:
            raise Unreadable("is empty (0 bytes)")
        return open(path, "rb")
    except OSError as error:
        if error.errno in REASONS:
            raise Unreadable(REASONS[error.errno]) from error
        raise
    except Unreadable:
        raise
    except ValueError as error:  # a NUL, or half a letter
        raise Unreadable("is not the name of a file") from error
