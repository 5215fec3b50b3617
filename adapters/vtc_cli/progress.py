"""What is said on stderr while work goes on: notes, spinners, bars. stdout holds results only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

T = TypeVar("T")


def note(text: str) -> None:
    """An aside, dim where the terminal can."""
    from vtc_pictures import visible

    Console(stderr=True).print(visible(text), style="dim", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner, on a terminal only."""
    from vtc_pictures import visible

    with Console(stderr=True).status(Text(visible(what))):
        yield


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[T], T]]:
    """A bar that goes away when done. What is yielded moves it on and hands back what it is given."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)

        def step(result: T) -> T:
            progress.advance(task)
            return result

        yield step


@contextmanager
def without_bars() -> Iterator[None]:
    """Without transformers' own bars; its warnings (a checkpoint with tensors missing) still show."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def without_chatter() -> Iterator[None]:
    """Without transformers' remarks on generation settings that greedy decoding leaves unused."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
