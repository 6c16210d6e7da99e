"""Structural paths: the place of a layer or variable in its model.

Keras' automatic names ("dense_7") depend on the models that the process built
before. A structural path depends only on the model, so that random masks,
checkpoints and custom sparsities mean the same in every process. Layers of a
functional or Sequential model are named by their author, or by class and
position ("dense_1" is the second Dense); other sublayers are named by the
attribute that holds them ("forward_layer/cell/kernel").

Keras has no public list of the sublayers, own variables and random generators
of a layer. The private names in this module were seen in Keras 3.12 to 3.15:
`_layers`, `_trainable_variables`, `_non_trainable_variables`,
`_seed_generators`, `_functional` and `_nodes`. Without one of them, paths are
missing or change: tests of structural paths fail.
"""

from collections.abc import Iterator
import inspect
import re
from typing import Any

import keras


def variables_by_path(model: keras.Layer) -> dict[str, keras.Variable]:
    """Map structural paths to all variables of a built model.

    States of random generators are included; metrics and variables of the
    optimizer are not. A variable that is reachable in several ways has its
    first path.

    Args:
        model: built Keras model or layer.
    """
    found: dict[str, keras.Variable] = {}
    seen: set[int] = set()
    for path, layer in walk(model):
        for variable in own_variables(layer):
            if id(variable) in seen:
                continue
            seen.add(id(variable))
            # Keras numbers variables without a name by process.
            unnamed = re.fullmatch(r"variable(_\d+)?", variable.name)
            name = "variable" if unnamed else variable.name
            name = f"{path}/{name}" if path else name
            found[_unused(name, found)] = variable
    return found


def require_kind(model: Any, kind: type) -> None:
    """Raise TypeError unless `model` is of a Keras class.

    Args:
        model: the object to check.
        kind: `keras.Model` or `keras.Layer`.
    """
    if not isinstance(model, kind):
        raise TypeError(
            "`model` must be a Keras 3 model (`import keras`). Received: "
            f"{model!r} of type {type(model)}"
        )


def require_built(model: Any, kind: type) -> None:
    """Raise TypeError or ValueError unless `model` is a built `kind`.

    See `require_kind` for the arguments.
    """
    require_kind(model, kind)
    if not model.built:
        raise ValueError(
            "`model` must be built: call it once, or start it with "
            f"`keras.Input`. Received: {model.name!r}, which is not"
        )


def inside_training(model: keras.Layer) -> keras.Layer:
    """Return the model inside a `SparseModel`; other models unchanged."""
    return model.model if getattr(model, "only_trains", False) else model


def seed_states(model: keras.Layer) -> dict[str, keras.Variable]:
    """Map structural paths to the states of a model's random generators."""
    ids = {
        id(generator.state)
        for _, layer in walk(model)
        for generator in layer._seed_generators
    }
    found = variables_by_path(model).items()
    return {path: variable for path, variable in found if id(variable) in ids}


def walk(
    root: keras.Layer, path: str = "", _seen: set[int] | None = None
) -> Iterator[tuple[str, keras.Layer]]:
    """Yield `(path, layer)` for a layer and all layers inside, once each.

    A wrapper that declares `transparent_path` passes its path on to the layer
    inside, so that a masked model has the paths of the plain one.

    Args:
        root: Keras layer or model.
        path: path of `root`.
    """
    seen: set[int] = set() if _seen is None else _seen
    if id(root) in seen:
        return
    seen.add(id(root))
    yield path, root
    for name, child in sublayers(root):
        inner = path if name is None else f"{path}/{name}".lstrip("/")
        yield from walk(child, inner, seen)


def own_variables(layer: keras.Layer) -> list[keras.Variable]:
    """List the variables that a layer itself owns, without sublayers."""
    seeds = [generator.state for generator in layer._seed_generators]
    return [
        *layer._trainable_variables,
        *layer._non_trainable_variables,
        *seeds,
    ]


def sublayers(layer: keras.Layer) -> list[tuple[str | None, keras.Layer]]:
    """List `(name, sublayer)` of the direct sublayers, in a fixed order.

    The layer inside a wrapper that declares `transparent_path` has the name
    None.
    """
    if getattr(layer, "transparent_path", False):
        return [(None, layer.layer)]
    if not is_graph(layer):
        return _named_by_attribute(layer)
    named: list[tuple[str | None, keras.Layer]] = _named_by_author(layer.layers)
    inside = {id(child) for _, child in named}
    taken = {name for name, _ in named}
    # A subclass may own layers that its graph does not call.
    return named + [
        (_unused(name, taken), child)
        for name, child in _named_by_attribute(layer)
        if id(child) not in inside
    ]


def is_graph(layer: keras.Layer) -> bool:
    """Return whether a layer is a Sequential or functional model."""
    if isinstance(layer, keras.Sequential):
        return hasattr(layer, "_functional")
    return isinstance(layer, keras.Model) and hasattr(layer, "_nodes")


def is_assembled(layer: keras.Layer) -> bool:
    """Return whether a model can be rebuilt by calling its own layers.

    This is false for a class that builds a graph in its constructor: a rebuilt
    functional model would lose the class and its other attributes.
    """
    if not is_graph(layer):
        return False
    if isinstance(layer, keras.Sequential):
        return type(layer).get_config is keras.Sequential.get_config
    arguments = inspect.getfullargspec(type(layer).__init__)
    if arguments.args[1:3] == ["inputs", "outputs"] or arguments.varargs:
        return True
    try:
        layer.get_config()
    except NotImplementedError:  # only the graph describes the model
        return True
    return False


def _named_by_author(layers):
    """Name layers as their author did, automatic names by class and order."""
    taken = {layer.name for layer in layers if not _is_automatic(layer)}
    counts, named = {}, []
    for layer in layers:
        name = layer.name
        if _is_automatic(layer):
            kind = _snake_case(type(_innermost(layer)).__name__)
            order = counts.get(kind, 0)
            counts[kind] = order + 1
            name = _unused(f"{kind}_{order}" if order else kind, taken)
        named.append((name, layer))
    return named


def _named_by_attribute(layer):
    """Name sublayers by the attribute, and index, that holds them."""
    children = {id(child): child for child in layer._layers}
    if not children:
        return []
    named = []

    def collect(name, value):
        if id(value) in children:
            named.append((name, children.pop(id(value))))
        elif isinstance(value, dict):
            for key, item in value.items():
                collect(f"{name}/{key}", item)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                collect(f"{name}/{index}", item)

    for attribute, value in vars(layer).items():
        # TensorFlow's object tracking holds every attribute once more.
        if attribute != "_layers" and not attribute.startswith("_self_"):
            collect(attribute.lstrip("_"), value)
    leftover = enumerate(children.values())
    return named + [(f"layers/{index}", child) for index, child in leftover]


def _innermost(layer):
    return layer.layer if getattr(layer, "transparent_path", False) else layer


def _is_automatic(layer):
    kind = _snake_case(type(_innermost(layer)).__name__)
    return re.fullmatch(rf"{re.escape(kind)}(_\d+)?", layer.name) is not None


def _snake_case(name):
    """Convert a class name in the way Keras does for automatic names."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _unused(name, taken):
    """Return `name`, with a number appended if it is taken."""
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
