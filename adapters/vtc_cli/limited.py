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

_FORK = multiprocessing.get_context("fork")  # the child has all that the parent has loaded, in milliseconds


def limited(work: Callable[[], str]) -> str:
    """What `work` returns; ValueError with what it raised, or with the limit that it came to."""
    ours, theirs = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=_run, args=(work, theirs), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python and JAX, of forks beside threads: none is needed by the child
        child.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            raise ValueError(f"takes more than {SECONDS:g} seconds")
        done = ours.recv_bytes(ANSWER).decode()
    except OSError as error:  # EOFError, of a child that is gone, is none
        raise ValueError(f"makes more than {ANSWER} bytes of text") from error
    except EOFError as error:
        raise ValueError("ends the process that it runs in") from error
    finally:
        child.kill()
        child.join()
        ours.close()
    if done.startswith("!"):
        raise ValueError(done[1:])
    return done[1:]


def _run(work: Callable[[], str], answer: Connection) -> None:
    _limit_memory()
    try:
        said = " " + work()
    except Exception as error:
        said = f"!fails ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    answer.send_bytes(said.encode(errors="replace"))


def _limit_memory() -> None:
    with suppress(ImportError, OSError, ValueError):  # where there is no such limit
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
