"""Work that is not trusted, in a child process that can be ended: so many seconds, so much memory, so much text."""

import multiprocessing
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

SECONDS = 5.0
MEMORY = 1 << 30  # bytes, besides what the process has already
ANSWER = 1 << 20  # bytes


def limited(work: Callable[[], str]) -> str:
    """What `work` returns; ValueError with what it raised, or with the limit that it came to.

    Without limits where a process cannot fork (Windows): only then has the child what is loaded, in milliseconds.
    """
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    said = _in_child(work) if can_fork else _said(work)
    if said.startswith("!"):
        raise ValueError(said[1:])
    return said[1:]


def _in_child(work: Callable[[], str]) -> str:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=_run, args=(work, theirs), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python and JAX, of forks beside threads: none is needed by the child
        child.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            raise ValueError(f"takes more than {SECONDS:g} seconds")
        return ours.recv_bytes(ANSWER).decode()
    except OSError as error:  # EOFError, of a child that is gone, is none
        raise ValueError(f"makes more than {ANSWER} bytes of text") from error
    except EOFError as error:
        raise ValueError("ends the process that it runs in") from error
    finally:
        child.kill()
        child.join()
        ours.close()


def _run(work: Callable[[], str], answer: Connection) -> None:
    _limit_memory()
    answer.send_bytes(_said(work).encode(errors="replace"))


def _said(work: Callable[[], str]) -> str:
    """What `work` returns after a space, or what it raised after an exclamation mark."""
    try:
        return f" {work()}"
    except Exception as error:
        return f"!fails ({type(error).__name__}: {' '.join(str(error).split())[:200]})"


def _limit_memory() -> None:
    with suppress(ImportError, OSError, ValueError):  # where there is no such limit
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
