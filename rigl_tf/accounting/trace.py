"""Which operations each layer of a model performs, in one inference.

The model is traced into a graph once, without computing anything, while every
layer notes which operations it adds. So any model is seen as it runs: nested,
shared, subclassed, with operations outside of layers. A recurrent layer is
seen as one time step, repeated.
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
    repeats: int = 1


def trace(model, input_shapes=None):
    """Trace one inference of a model.

    Args:
        model: built Keras model.
        input_shapes: shape of one example, without the batch, or a structure
            of `keras.KerasTensor`, where the model does not tell.

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
            tf.function(lambda inputs: model(inputs, training=False))
            .get_concrete_function(specs)
            .graph
        )
    return _uses(model, graph, ranges, batch), calls


def _uses(model, graph, ranges, batch):
    """Assign each operation to the innermost layer that added it."""
    operations = graph.get_operations()
    owners = [model] * len(operations)
    repeats = [1] * len(operations)
    # Outer layers first, also where they add nothing to those inside.
    for item in sorted(ranges[::-1], key=lambda item: item.start - item.end):
        if item.graph is graph:
            for index in range(item.start, item.end):
                owners[index] = item.layer
                repeats[index] *= item.repeats
    handles = _variables_by_handle(model, graph)
    return [
        Use(owner, operation, times / batch, _variable(operation, handles))
        for owner, operation, times in zip(owners, operations, repeats)
        if times
    ]


@contextlib.contextmanager
def _recorded(layers, ranges, calls):
    """Let layers note the operations that their calls add to a graph."""
    for layer in layers:
        layer.__dict__["call"] = _recorder(layer, ranges, calls)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["call"]


def _recorder(layer, ranges, calls):
    call = layer.call

    @contextlib.contextmanager
    def recording(repeats=1):
        graph = tf.compat.v1.get_default_graph()
        item = _Range(graph, layer, _length(graph), 0, repeats)
        yield
        item.end = _length(graph)
        ranges.append(item)

    def recorded(*args, **kwargs):
        if args and hasattr(args[0], "shape"):
            calls.append(Call(layer, tuple(args[0].shape[1:])))
        if not isinstance(layer, keras.layers.RNN):
            with recording():
                return call(*args, **kwargs)
        n_steps = args[0].shape[1]
        if n_steps is None:
            raise ValueError(
                "Counting needs the length of sequences: give `input_shapes`. "
                f"Received: {layer.name!r} with inputs of shape {args[0].shape}"
            )
        with recording(repeats=0):
            outputs = call(*args, **kwargs)
        with recording(repeats=n_steps):
            _one_step(layer, call, args, kwargs)
        return outputs

    return recorded


def _one_step(layer, call, args, kwargs):
    """Call a recurrent layer on its first time step, outside of a loop."""
    kwargs = dict(kwargs)
    if kwargs.get("mask") is not None:
        kwargs["mask"] = kwargs["mask"][:, :1]
    unroll, layer.unroll = layer.unroll, True
    try:
        call(args[0][:, :1], *args[1:], **kwargs)
    finally:
        layer.unroll = unroll


def _length(graph):
    return len(graph.get_operations())


def _variables_by_handle(model, graph):
    """Map the graph's placeholders of variables to the variables."""
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


def _variable(operation, handles):
    """Find the variable that an operand of the operation is made of."""
    for tensor in operation.inputs:
        while tensor.op.type in _PASSED:
            tensor = tensor.op.inputs[1 if tensor.op.type == "Split" else 0]
        if id(tensor) in handles:
            return handles[id(tensor)]
    return None


def _input_specs(model, input_shapes):
    """Return what to trace with: a structure of `tf.TensorSpec`."""
    inputs = input_shapes
    if isinstance(inputs, (tuple, list)) and all(
        isinstance(size, int) for size in inputs
    ):
        known = _own_inputs(model)
        dtype = (
            "float32" if known is None else keras.tree.flatten(known)[0].dtype
        )
        inputs = keras.KerasTensor((1, *inputs), dtype)
    elif inputs is None:
        inputs = _own_inputs(model)
        if inputs is None:
            raise ValueError(
                "Counting needs `input_shapes`, the shape of one example: a "
                "subclassed model does not tell. "
                f"Received: {model.name!r} without"
            )
    return keras.tree.map_structure(_spec, inputs)


def _own_inputs(model):
    """Return the inputs that a model tells of, or None."""
    try:
        return model.input
    except (AttributeError, ValueError):
        pass
    shape = (model.get_build_config() or {}).get("input_shape")
    return None if shape is None else keras.KerasTensor(shape)


def _spec(tensor):
    batch, *shape = tensor.shape
    if None in shape:
        raise ValueError(
            "Counting needs the sizes of inputs: give `input_shapes`, the "
            f"shape of one example. Received: inputs of shape {tensor.shape}"
        )
    return tf.TensorSpec((batch or 1, *shape), tensor.dtype)
