"""Make matplotlib figures without pyplot."""

from __future__ import annotations

import collections.abc
import typing

if typing.TYPE_CHECKING:
    from matplotlib.figure import Figure


def new(**options: typing.Any) -> Figure:
    """Return an empty `matplotlib.figure.Figure`.

    Matplotlib is an optional dependency, so it is imported here.

    Args:
        **options: arguments of the figure.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib. Install it with: "
            "pip install rigl-tf[plots]"
        ) from error
    return figure.Figure(**options)


def require(shown: collections.abc.Sized) -> None:
    """Raise ValueError if there is nothing to draw."""
    if not len(shown):
        raise ValueError("A picture needs something to draw. Received: nothing")


def plain(text: str) -> str:
    """Return a text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")
