"""Which operations each layer of a model performs, in one inference.

The model is traced into a graph once, without computing anything, while every
layer notes which operations it adds. So any model is seen as it runs: nested,
shared, subclassed, with operations outside of layers. Operations that no result
depends on are left out, as TensorFlow leaves them out. The body of a loop, such
as a time step of a recurrent layer, is repeated as often as it runs at most.
"""

import contextlib
import dataclasses

import keras
import tensorflow as tf

from rigl_tf import structure

# What lies between a variable and the operation that multiplies with it.
_PASSED = frozenset(
    "Cast ExpandDims Identity ReadVariableOp Reshape Slice Split SplitV Squeeze"
    " StridedSlice Transpose Unpack".split()
)
_LOOPS = ("StatelessWhile", "While")


@dataclasses.dataclass(frozen=True)
class Use:
    """An operation, as a layer performs it.

    Attributes:
        layer: the innermost layer.
        operation: `tf.Operation` of the traced graph.
        repeats: how often it is performed, per example.
        variable: the variable among its operands, or None.
    """

    layer: keras.layers.Layer
    operation: tf.Operation
    repeats: float
    variable: keras.Variable | None


@dataclasses.dataclass(frozen=True)
class Call:
    """A layer's call: its first operand's shape, without the batch."""

    layer: keras.layers.Layer
    input_shape: tuple


@dataclasses.dataclass
class _Range:
    graph: tf.Graph
    layer: keras.layers.Layer
    start: int
    end: int


def trace(model, input_shapes=None):
    """Trace one inference of a model.

    Args:
        model: built Keras model.
        input_shapes: shape of one example, without the batch, or a structure
            of shapes or `keras.KerasTensor`, where the model does not tell.

    Returns:
        `(uses, calls)`, a list of `Use` and one of `Call`.

    Raises:
        ValueError: a size is unknown.
    """
    specs = _input_specs(model, input_shapes)
    batch = keras.tree.flatten(specs)[0].shape[0]
    ranges, calls = [], []
    layers = [layer for _, layer in structure.walk(model)]
    with _recorded(layers, ranges, calls):
        graph = (
            tf.function(
                lambda inputs: model(inputs, training=False), autograph=False
            )
            .get_concrete_function(specs)
            .graph
        )
        # Losses of activations are tensors of the graph now.
        model._clear_losses()
    variables = _captured(model, graph)
    return list(_uses(graph, model, 1 / batch, ranges, variables)), calls


def _uses(graph, layer, repeats, ranges, variables):
    """Yield each `Use` of a graph, and of the graphs that it runs.

    Args:
        graph: `tf.Graph`.
        layer: whose operations they are, unless one of `ranges` tells.
        repeats: how often the graph is run, per example.
        ranges: list of `_Range`.
        variables: dictionary from the ids of the graph's tensors to variables.
    """
    operations = graph.get_operations()
    owners = [layer] * len(operations)
    # Outer layers first, also where they add nothing to those inside.
    for item in sorted(ranges[::-1], key=lambda item: item.start - item.end):
        if item.graph is graph:
            n_added = item.end - item.start
            owners[item.start : item.end] = [item.layer] * n_added
    needed = _needed(graph)
    for owner, operation in zip(owners, operations):
        if operation not in needed:
            continue
        times = _times(operation) if operation.type in _LOOPS else None
        if times is None:
            variable = _variable(operation, variables)
            yield Use(owner, operation, repeats, variable)
            continue
        for name in ("cond", "body"):
            inner = _graph(operation, name)
            given = _given(operation, inner, variables)
            yield from _uses(inner, owner, repeats * times, ranges, given)


def _needed(graph):
    """Find the operations that the graph's results and effects depend on."""
    found = set()
    open_ends = [t.op for t in graph.outputs] + list(graph.control_outputs)
    while open_ends:
        operation = open_ends.pop()
        if operation not in found:
            found.add(operation)
            open_ends += [t.op for t in operation.inputs]
            open_ends += operation.control_inputs
    return found


def _times(loop):
    """Say how often a loop runs at most, or None."""
    limit = loop.inputs[1]
    # Keras takes the maximum of a single number, the number of time steps.
    if limit.op.type == "Max" and limit.op.inputs[0].shape.rank == 0:
        limit = limit.op.inputs[0]
    limit = tf.get_static_value(limit)
    return None if limit is None or limit < 0 else int(limit)


def _graph(loop, name):
    return loop.graph._get_function(loop.get_attr(name).name).graph


def _given(loop, inner, variables):
    """Map tensors that a loop's graph is given to what variables they hold."""
    body = _graph(loop, "body")
    given = {}
    for outside, inside, before, after in zip(
        loop.inputs, inner.inputs, body.inputs, body.outputs
    ):
        variable = variables.get(id(_origin(outside)))
        # What the loop changes, such as a state, only begins as a variable.
        if variable is not None and _origin(after) is before:
            given[id(inside)] = variable
    return given


def _variable(operation, variables):
    """Find the variable that an operand is made of; rather the last operand."""
    for tensor in reversed(operation.inputs):
        variable = variables.get(id(_origin(tensor)))
        if variable is not None:
            return variable
    return None


def _origin(tensor):
    """Follow a tensor back over whatever only moves its numbers."""
    while tensor.op.type in _PASSED:
        tensor = tensor.op.inputs[1 if tensor.op.type == "Split" else 0]
    return tensor


def _captured(model, graph):
    """Map the ids of the graph's placeholders of variables to the variables."""
    variables = {}
    for variable in structure.variables_by_path(model).values():
        value = variable.value
        for copy in getattr(value, "values", [value]):
            variables[id(copy.handle)] = variable
    return {
        id(inner): variables[id(outer)]
        for outer, inner in graph.captures
        if id(outer) in variables
    }


@contextlib.contextmanager
def _recorded(layers, ranges, calls):
    """Let layers note the operations that their calls add to a graph."""
    before = []
    for layer in layers:
        during = {"call": _recorder(layer, ranges, calls)}
        if "use_cudnn" in layer.__dict__:
            during["use_cudnn"] = False  # one fused operation on a GPU
        own = {name: v for name, v in layer.__dict__.items() if name in during}
        before.append((layer, during, own))
        layer.__dict__.update(during)
    # Functions traced before, with other sizes, must not be used again.
    inlined = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(inlined)
        for layer, during, own in before:
            for name in during:
                del layer.__dict__[name]
            layer.__dict__.update(own)


def _recorder(layer, ranges, calls):
    call = layer.call

    def recorded(*args, **kwargs):
        first = next(iter((*args, *kwargs.values())), None)
        if hasattr(first, "shape"):
            calls.append(Call(layer, tuple(first.shape[1:])))
        graph = tf.compat.v1.get_default_graph()
        start = len(graph.get_operations())
        outputs = call(*args, **kwargs)
        end = len(graph.get_operations())
        ranges.append(_Range(graph, layer, start, end))
        return outputs

    return recorded


def _input_specs(model, input_shapes):
    """Return what to trace with: a structure of `tf.TensorSpec`."""
    known = _own_inputs(model)
    if input_shapes is None and known is None:
        raise ValueError(
            "Counting needs `input_shapes`, the shape of one example: a "
            f"subclassed model does not tell. Received: {model.name!r} without"
        )
    if input_shapes is None:
        return keras.tree.map_structure(_spec, known)
    first = keras.KerasTensor((1,))
    if known is not None:
        first = keras.tree.flatten(known)[0]
    try:
        return keras.tree.map_shape_structure(
            lambda given: _spec(
                given
                if isinstance(given, keras.KerasTensor)
                else keras.KerasTensor((first.shape[0], *given), first.dtype)
            ),
            input_shapes,
        )
    except TypeError as error:
        raise TypeError(
            "`input_shapes` must be a shape, such as (224, 224, 3), or a "
            "structure of shapes or `keras.KerasTensor`. Received: "
            f"{input_shapes!r}"
        ) from error


def _own_inputs(model):
    """Return the inputs that a model tells of, or None."""
    while getattr(model, "transparent_path", False):
        model = model.layer
    try:
        if isinstance(model, keras.Sequential):
            return model.inputs[0]
        return model.input
    except (AttributeError, ValueError):
        pass
    shapes = (model.get_build_config() or {}).get("input_shape")
    if shapes is None:
        return None
    return keras.tree.map_shape_structure(keras.KerasTensor, shapes)


def _spec(tensor):
    batch, *shape = tensor.shape
    if None in shape:
        raise ValueError(
            "Counting needs the sizes of inputs: give `input_shapes`, the "
            f"shape of one example. Received: inputs of shape {tensor.shape}"
        )
    return tf.TensorSpec((batch or 1, *shape), tensor.dtype)
