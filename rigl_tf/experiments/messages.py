"""Format error messages: on one line, with a hint at similar names."""

from collections.abc import Iterable
import difflib
import re


def one_line(error: object) -> str:
    """Return the message of an exception on one line.

    Args:
        error: exception, or its message.
    """
    text = re.sub(r"\x1b\[\d*m", "", str(error))  # Keras uses bold type
    lines = text.strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines if line.strip())


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that lists the known names similar to one, or all of them.

    Args:
        name: the unknown name.
        known: the known names.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are {', '.join(names)}"
