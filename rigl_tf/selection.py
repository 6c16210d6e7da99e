"""Select kernels by path, name, regular expression, type or predicate."""

import inspect
import re


def select(candidates, masked=None, dense=()):
    """Choose the kernels that get masks.

    A selector is one of
    - a string: the path of a kernel or of a layer around it, the layer's name,
      or a regular expression that matches one of these as a whole;
    - a class: kernels inside layers of this type, subclasses included;
    - a function `(path, layer) -> bool` of the kernel's path and the innermost
      layer that holds it.

    Args:
        candidates: list of `layers.Candidate`.
        masked: selectors of kernels to mask, or None for the usual ones.
        dense: selectors of kernels to leave out again.

    Returns:
        list of the chosen `layers.Candidate`s.

    Raises:
        ValueError: a selector matches nothing, or nothing is left.
        TypeError: a selector is none.
    """
    if masked is None:
        chosen = [c for c in candidates if c.by_default]
    else:
        named = _selected(candidates, masked, "masked_layers")
        chosen = [c for c in candidates if c.path in named]
    left_out = _selected(chosen, dense, "dense_layers")
    kept = [c for c in chosen if c.path not in left_out]
    if not kept:
        raise ValueError(
            "`masked_layers` and `dense_layers` must leave at least one kernel "
            f"to mask. Received: masked_layers={masked!r}, "
            f"dense_layers={dense!r}"
        )
    return kept


def _selected(candidates, selectors, argument):
    """Return the paths of the kernels that a selector matches."""
    if isinstance(selectors, str) or not hasattr(selectors, "__iter__"):
        selectors = [selectors]
    paths = set()
    for selector in selectors:
        matches = _predicate(selector, argument)
        found = [c.path for c in candidates if matches(c)]
        if not found:
            raise ValueError(
                f"`{argument}` names no kernel: {selector!r}. The kernels are: "
                f"{', '.join(c.path for c in candidates)}"
            )
        paths.update(found)
    return paths


def _predicate(selector, argument):
    """Turn a selector into a function of a candidate."""
    if isinstance(selector, str):
        try:
            matches = re.compile(selector).fullmatch
        except re.error as error:
            raise ValueError(
                f"`{argument}` takes names or regular expressions. "
                f"Received: {selector!r} ({error})"
            ) from None
        return lambda c: any(
            name == selector or matches(name) for name in _names(c)
        )
    if inspect.isclass(selector):
        return lambda c: any(isinstance(la, selector) for _, la in c.around)
    if callable(selector):
        return lambda c: selector(c.path, c.layer)
    raise TypeError(
        f"`{argument}` takes strings, layer classes and functions "
        f"(path, layer) -> bool. Received: {selector!r}"
    )


def _names(candidate):
    """Return the paths and names by which a kernel can be selected."""
    around = [name for path, la in candidate.around for name in (path, la.name)]
    return [candidate.path, *around]
