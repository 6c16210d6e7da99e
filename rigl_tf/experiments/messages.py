"""Texts of error messages: on one line, with the nearest known name."""

import difflib
import re


def one_line(error):
    """Put the message of an exception onto one line."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))  # Keras prints in bold
    lines = text.strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines if line.strip())


def nearest(name, known):
    """Return a hint at the known names that resemble one, or at all.

    Args:
        name: what was given.
        known: the names that there are.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are {', '.join(known)}"
