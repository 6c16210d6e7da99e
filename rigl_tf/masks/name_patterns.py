"""Names and regular expressions that stand for them."""

import re


def matcher(pattern, names, argument):
    """Return a function that says whether a name is meant by a pattern.

    A pattern that is one of the names means this one alone; any other is a
    regular expression that must match a name as a whole.

    Args:
        pattern: name or regular expression.
        names: collection of all names.
        argument: what errors call the pattern.

    Raises:
        ValueError: it is neither.
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


def assign(patterns, matches, names, argument):
    """Map each name to the first pattern that means it.

    Args:
        patterns: iterable of patterns.
        matches: function from a pattern to a predicate of a name.
        names: list of names.
        argument: what errors call the patterns.

    Raises:
        ValueError: a pattern decides no name.
    """
    assigned = {}
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
