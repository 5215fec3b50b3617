"""What the fixture `vtc` is."""

from collections.abc import Callable

from typer.testing import Result

Vtc = Callable[..., Result]  # words -> what came of them
