"""Where every error of the command ends: one line on stderr and an exit code, 1 for failed work and 2 for bad usage."""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ)  # no file can be had by such a name


class BadUsage(Exception):
    """Something the user can mend: an option, a file, a checkpoint that is none."""


@contextmanager
def checking_place() -> Iterator[None]:
    """A place that cannot or must not be written is bad usage, in the words of the command line."""
    from vtc_core import arguments

    try:
        yield
    except FileExistsError as error:
        raise BadUsage(str(error).replace(arguments.REPLACE, "--overwrite replaces it")) from error
    except (OSError, ValueError) as error:
        raise BadUsage(str(error)) from error


def reason(error: Exception) -> str:
    """What an error says, on one line: transformers' messages go on for a page."""
    line = (str(error).strip().splitlines() or [""])[0].rstrip(" .:")
    # These two speak for themselves, as a KeyError does not.
    return line if line and isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {line}"


class Commands(TyperGroup):
    """The group of all commands, and the boundary around them."""

    def main(self, args: list[str] | tuple[str, ...] | None = None, *rest: Any, **options: Any) -> None:
        args = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(args or ["--help"], *rest, **(options | {"standalone_mode": False}))
        except typer.Abort:
            code = 130  # Ctrl-C, as shells count it
        except Exception as error:
            # Read from the words themselves: an error while they are parsed leaves no parsed options behind.
            if "--debug" in args:
                traceback.print_exc()
            message, code = _verdict(error)
            from vtc_pictures import visible

            typer.echo(f"vtc: {visible(message)}", err=True)
        sys.exit(code)


def _verdict(error: Exception) -> tuple[str, int]:
    if isinstance(error, BadUsage):
        return str(error), 2
    say = getattr(error, "format_message", None)
    if say:  # one of the parser's own errors, whose class depends on typer's version
        context = getattr(error, "ctx", None)
        return f"{say().rstrip('.')} (see {context.command_path if context else 'vtc'} --help)", 2
    if isinstance(error, OSError) and error.errno in NAMES:
        from vtc_pictures import short

        return f"{short(error.filename)} cannot be used: {error.strerror}", 2
    return reason(error), 1
