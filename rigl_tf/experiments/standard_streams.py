"""Standard output and standard error that may be closed at any moment."""

import contextlib
import os
import sys


class Unread(Exception):
    """Nobody reads the output any more."""


class _Output:
    """A stream that drops what is written once nobody reads it.

    Args:
        stream: text stream, written to until it fails.
        goes_on: whether to drop what cannot be written; else raise.
    """

    def __init__(self, stream, goes_on):
        self._stream = stream
        self._goes_on = goes_on

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """Write text; return its length."""
        with self._unread():
            self._stream.write(text)
        return len(text)

    def flush(self):
        """Write what is buffered."""
        with self._unread():
            self._stream.flush()

    @contextlib.contextmanager
    def _unread(self):
        try:
            yield
        except OSError as error:
            _drop(self._stream)
            if not self._goes_on:
                raise Unread from error


def open_all():
    """Open the standard streams that are closed; no character stops one.

    A file that is opened later would take the number of a closed stream, and
    get what libraries write there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "w", encoding="utf-8")
            setattr(sys, name, stream)
    # A terminal without "–" shall not stop a table.
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace")


@contextlib.contextmanager
def unread(goes_on):
    """Let a command end in peace, or go on, when nobody reads its output.

    Args:
        goes_on: whether the command is to go on; else `Unread` is raised.
    """
    before = sys.stdout
    sys.stdout = _Output(before, goes_on)
    try:
        try:
            yield
        except SystemExit:  # of --help
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    finally:
        sys.stdout = before


def tell(text):
    """Write a line to standard error, if it can be written to."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def _drop(stream):
    """Let all that is yet to be written to a stream go nowhere."""
    with contextlib.suppress(OSError):  # no file: nothing is kept for later
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
