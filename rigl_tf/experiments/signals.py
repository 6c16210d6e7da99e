"""Handle signals while a block of code runs."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import signal


@contextlib.contextmanager
def handled(handler: Callable[[int], None], *numbers: int) -> Iterator[None]:
    """Handle signals in a function; restore the previous handlers at the end.

    Args:
        handler: function that is called with the number of the signal.
        *numbers: signals to handle, e.g. `signal.SIGTERM`.
    """
    before = [
        signal.signal(number, lambda number, frame: handler(number))
        for number in numbers
    ]
    try:
        yield
    finally:
        for number, previous in zip(numbers, before):
            signal.signal(number, previous)
