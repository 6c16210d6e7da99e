"""Structural paths: where in its model a layer or variable sits.

Keras' automatic names ("dense_7") depend on every model that the process built
before. A structural path depends on the model alone, so that random masks,
checkpoints and custom maps mean the same in every process: layers of a
functional or Sequential model go by the name their author gave them, or by
class and position ("dense_1" is the second Dense); other sublayers go by the
attribute that holds them ("forward_layer/cell/kernel").
"""

import inspect
import re

import keras


def variables_by_path(model):
    """Map structural paths to all variables of a built model.

    Seed-generator states are included, metrics and optimizer variables are
    not. A variable that is reachable on several ways has its first path.

    Args:
        model: built Keras model or layer.

    Returns:
        dictionary from path to `keras.Variable`.
    """
    found, seen = {}, set()
    for path, layer in walk(model):
        for variable in own_variables(layer):
            if id(variable) in seen:
                continue
            seen.add(id(variable))
            # Without a name, Keras counts those of the whole process.
            unnamed = re.fullmatch(r"variable(_\d+)?", variable.name)
            name = "variable" if unnamed else variable.name
            name = f"{path}/{name}" if path else name
            found[_unused(name, found)] = variable
    return found


def require_kind(model, kind):
    """Raise TypeError unless `model` is a `kind`, layer or model, of Keras."""
    if not isinstance(model, kind):
        raise TypeError(
            "`model` must be a Keras 3 model (`import keras`). Received: "
            f"{model!r} of type {type(model)}"
        )


def require_built(model, kind):
    """Raise TypeError or ValueError unless `model` is a built `kind`."""
    require_kind(model, kind)
    if not model.built:
        raise ValueError(
            "`model` must be built: call it once, or begin it with "
            f"`keras.Input`. Received: {model.name!r}, which is not"
        )


def inside_training(model):
    """Return the model inside a `SparseModel`; any other as it is."""
    return model.model if getattr(model, "only_trains", False) else model


def seed_states(model):
    """Map structural paths to the states of the model's random generators."""
    ids = {
        id(generator.state)
        for _, layer in walk(model)
        for generator in layer._seed_generators
    }
    found = variables_by_path(model).items()
    return {path: variable for path, variable in found if id(variable) in ids}


def walk(root, path="", _seen=None):
    """Yield `(path, layer)` for a layer and everything inside, once each.

    A wrapper that declares `transparent_path` hands its path on to the layer
    inside, so that a masked model has the paths of the plain one.
    """
    seen = set() if _seen is None else _seen
    if id(root) in seen:
        return
    seen.add(id(root))
    yield path, root
    for name, child in sublayers(root):
        inner = path if name is None else f"{path}/{name}".lstrip("/")
        yield from walk(child, inner, seen)


def own_variables(layer):
    """List the variables that the layer itself holds."""
    seeds = [generator.state for generator in layer._seed_generators]
    return [
        *layer._trainable_variables,
        *layer._non_trainable_variables,
        *seeds,
    ]


def sublayers(layer):
    """List `(name, sublayer)` of the direct sublayers, in a fixed order."""
    if getattr(layer, "transparent_path", False):
        return [(None, layer.layer)]
    if not is_graph(layer):
        return _named_by_attribute(layer)
    named = _named_by_author(layer.layers)
    inside = {id(child) for _, child in named}
    taken = {name for name, _ in named}
    # A class of its own may hold layers that the graph does not call.
    return named + [
        (_unused(name, taken), child)
        for name, child in _named_by_attribute(layer)
        if id(child) not in inside
    ]


def is_graph(layer):
    """Say whether a layer is a Sequential or functional model."""
    if isinstance(layer, keras.Sequential):
        return hasattr(layer, "_functional")
    return isinstance(layer, keras.Model) and hasattr(layer, "_nodes")


def is_assembled(layer):
    """Say whether a graph can be made again by calling layers of its own.

    Not so if a class builds it in its constructor: a functional model would
    remain, without the class and what else it holds.
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
    except NotImplementedError:  # all that is known of it is the graph
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
        # TensorFlow's own bookkeeping lists every attribute once more.
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
    """Convert a class name as Keras does for automatic names."""
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
