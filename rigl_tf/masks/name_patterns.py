"""Match names of kernels and layers by name or regular expression."""

from collections.abc import Callable
from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Sequence
import re
from typing import TypeVar

_Pattern = TypeVar("_Pattern")


def matcher(
    pattern: str, names: Container[str], argument: str
) -> Callable[[str], bool]:
    """Return a function that tests whether a pattern matches a name.

    A pattern that is itself one of the names matches only that name; any other
    is a regular expression that must match the whole name.

    Args:
        pattern: name or regular expression.
        names: collection of all names.
        argument: name of the argument, used in the error message.

    Raises:
        ValueError: if the pattern is neither a name nor a regular expression.
    """
    if pattern in names:
        return lambda name: name == pattern
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"`{argument}` takes names or regular expressions. "
            f"Received: {pattern!r} ({error})"
        ) from None
    return lambda name: expression.fullmatch(name) is not None


def assign(
    patterns: Iterable[_Pattern],
    matches: Callable[[_Pattern], Callable[[str], bool]],
    names: Sequence[str],
    argument: str,
) -> dict[str, _Pattern]:
    """Map each name to the first pattern that matches it.

    Args:
        patterns: iterable of patterns.
        matches: function from a pattern to a function that tests a name.
        names: list of names.
        argument: name of the argument, used in the error message.

    Returns:
        A dictionary from name to pattern; names without a match are absent.

    Raises:
        ValueError: if a pattern matches no name, or only names that earlier
            patterns match.
    """
    assigned: dict[str, _Pattern] = {}
    for pattern in patterns:
        hits = list(filter(matches(pattern), names))
        new = [name for name in hits if name not in assigned]
        if not new:
            why = " (matched by earlier patterns alone)" if hits else ""
            raise ValueError(
                f"`{argument}` names no kernel: {pattern!r}{why}. "
                f"The kernels are: {', '.join(names)}"
            )
        assigned.update(dict.fromkeys(new, pattern))
    return assigned
