"""Select kernels by path, name, regular expression, type or predicate."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import inspect

import keras

from rigl_tf.layers import candidates
from rigl_tf.layers import masked
from rigl_tf.layers import model_paths
from rigl_tf.masks import name_patterns
from rigl_tf.masks import patterns

# A path, name or regular expression, a class of layers, or a predicate.
Selector = str | type | Callable[[str, keras.Layer], bool]
Selectors = Selector | Iterable[Selector]


def maskable(model: keras.Model) -> list[candidates.Candidate]:
    """List the kernels of a model that can have masks.

    Args:
        model: built dense Keras model.

    Raises:
        TypeError: if `model` is not a Keras model.
        ValueError: if it is not built, has masks already, or has no such
            kernel.
    """
    model_paths.require_built(model, keras.Model)
    if any(isinstance(la, masked.Masked) for _, la in model_paths.walk(model)):
        raise ValueError(
            "`model` must not be masked already: call `rigl_tf.strip` first. "
            f"Received: {model.name!r}"
        )
    found = candidates.candidates(model)
    if not found:
        raise ValueError(
            "`model` has no kernel to mask: masks are for trainable kernels of "
            "rank 2 or more (Dense, Conv, GRU, ...). Received: "
            f"{model.name!r} with the layers "
            f"{', '.join(layer.name for layer in model.layers)}"
        )
    return found


def require_plain_axes(
    pattern: patterns.Pattern, model: keras.Model, paths: Iterable[str]
) -> None:
    """Raise ValueError if a pattern would run along the wrong axes.

    Args:
        pattern: the sparsity pattern.
        model: dense model.
        paths: paths of the kernels that get masks.
    """
    if pattern == patterns.UNSTRUCTURED:
        return
    variables = model_paths.variables_by_path(model)
    owners = {
        id(variable): layer
        for _, layer in model_paths.walk(model)
        for variable in model_paths.own_variables(layer)
    }
    for path in paths:
        owner = owners[id(variables[path])]
        if isinstance(owner, masked.OTHER_AXES):
            raise ValueError(
                f"Masks of the pattern {pattern} need kernels whose last axes "
                f"are inputs and outputs. Received: {path!r} of a "
                f"{type(owner).__name__}; leave it out with `dense_layers`"
            )


def select(
    candidates: Sequence[candidates.Candidate],
    masked: Selectors | None = None,
    dense: Selectors = (),
) -> list[candidates.Candidate]:
    """Choose the kernels that get masks.

    A selector is one of
    - a string: the path of a kernel or of a layer around it, the layer's name,
      or a regular expression that matches one of these as a whole;
    - a class: kernels inside layers of this type, subclasses included;
    - a function `(path, layer) -> bool` of the kernel's path and the innermost
      layer that owns it.

    Args:
        candidates: list of `candidates.Candidate`.
        masked: selectors of kernels to mask, or None for the defaults.
        dense: selectors of kernels to exclude.

    Returns:
        A list of the chosen `candidates.Candidate`.

    Raises:
        ValueError: if a selector matches nothing, or no kernel is left.
        TypeError: if a selector is of another type.
    """
    if masked is None:
        chosen = [c for c in candidates if c.by_default]
    else:
        named = _selected(candidates, masked, "masked_layers")
        chosen = [c for c in candidates if c.path in named]
    left_out = _selected(candidates, dense, "dense_layers")
    kept = [c for c in chosen if c.path not in left_out]
    if not kept:
        raise ValueError(
            "`masked_layers` and `dense_layers` must leave at least one kernel "
            f"to mask. Received: masked_layers={masked!r}, "
            f"dense_layers={dense!r}"
        )
    return kept


def _selected(candidates, selectors, argument):
    """Return the paths of the kernels that the selectors match."""
    if isinstance(selectors, str) or not hasattr(selectors, "__iter__"):
        selectors = [selectors]
    paths = set()
    for selector in selectors:
        matches = _predicate(selector, candidates, argument)
        found = [c.path for c in candidates if matches(c)]
        if not found:
            raise ValueError(
                f"`{argument}` names no kernel: {selector!r}. The kernels are: "
                f"{', '.join(c.path for c in candidates)}"
            )
        paths.update(found)
    return paths


def by_kernel(
    custom: Mapping[Selector, float], candidates: Sequence[candidates.Candidate]
) -> dict[str, float]:
    """Map kernels to the values of the first selectors that match them.

    Args:
        custom: dictionary from selectors, see `select`, to values.
        candidates: list of `candidates.Candidate`.

    Returns:
        A dictionary from the path of a kernel to its value.

    Raises:
        ValueError: if a selector matches no kernel, or only kernels that
            earlier selectors match.
        TypeError: if `custom` is not a dictionary, or a selector is of another
            type.
    """
    if not isinstance(custom, dict):
        raise TypeError(
            "`custom` must map selectors of kernels to sparsities. "
            f"Received: custom={custom!r}"
        )
    by_path = {c.path: c for c in candidates}

    def matches(selector):
        predicate = _predicate(selector, candidates, "custom")
        return lambda path: predicate(by_path[path])

    assigned = name_patterns.assign(custom, matches, list(by_path), "custom")
    return {path: custom[selector] for path, selector in assigned.items()}


def _predicate(selector, candidates, argument):
    """Convert a selector to a function of a candidate."""
    if isinstance(selector, str):
        known = {name for c in candidates for name in _names(c)}
        matches = name_patterns.matcher(selector, known, argument)
        return lambda c: any(map(matches, _names(c)))
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
