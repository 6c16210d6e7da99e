"""Write to standard output and standard error, even if a reader has gone."""

from collections.abc import Iterator
import contextlib
import os
import sys
from typing import Any
from typing import TextIO


class Unread(Exception):
    """The reader of standard output has closed it."""


class _Output:
    """A text stream that can lose its reader, such as a closed pipe.

    Args:
        stream: the stream to write to until it fails.
        goes_on: whether to discard what cannot be written, instead of raising
            `Unread`.
    """

    def __init__(self, stream: TextIO, goes_on: bool):
        self._stream = stream
        self._goes_on = goes_on

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text; return its length."""
        with self._unread():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write the buffered text."""
        with self._unread():
            self._stream.flush()

    @contextlib.contextmanager
    def _unread(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _drop(self._stream)
            if not self._goes_on:
                raise Unread from error


def open_all() -> None:
    """Open closed standard streams; let stdout replace unknown characters.

    If a stream stayed closed, the next file to be opened would get its number,
    and the messages of libraries.
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
    # Tables contain "–", which some encodings of terminals lack.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


@contextlib.contextmanager
def unread(goes_on: bool) -> Iterator[None]:
    """Handle standard output that is closed while a command writes to it.

    Args:
        goes_on: whether the command continues without output; otherwise
            `Unread` is raised.
    """
    before = sys.stdout
    sys.stdout = _Output(before, goes_on)  # type: ignore[assignment]
    try:
        try:
            yield
        except SystemExit:  # of --help
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    finally:
        sys.stdout = before


def tell(text: str) -> None:
    """Write a line to standard error, if it is open."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Redirect a stream to the null device, with the text in its buffer."""
    with contextlib.suppress(OSError):  # a stream without a file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
