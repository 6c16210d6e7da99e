"""Handlers of signals for the length of a block."""

import contextlib
import signal


@contextlib.contextmanager
def handled(handler, *numbers):
    """Let a handler take signals, then give them back to the one before.

    Args:
        handler: function of the signal's number.
        *numbers: signals, e.g. `signal.SIGTERM`.
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
