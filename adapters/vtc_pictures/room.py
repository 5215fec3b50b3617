"""How much may be in memory at once, over all threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Room:
    """So many pixels, or bytes, or whatever is counted. Who asks for more than is free waits."""

    def __init__(self, size: int) -> None:
        self.size = self.free = size
        self._changed = Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Have `amount` of it for a while; what is larger than the whole room has the room to itself."""
        amount = min(amount, self.size)
        with self._changed:
            self._changed.wait_for(lambda: self.free >= amount)
            self.free -= amount
        try:
            yield
        finally:
            with self._changed:
                self.free += amount
                self._changed.notify_all()
