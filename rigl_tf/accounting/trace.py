"""List the operations that each layer of a model performs in one inference.

Operations without effect on any result are omitted, as in TensorFlow. The body
of a loop, such as a time step of a recurrent layer, is repeated as often as it
runs at most.
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from rigl_tf.layers import graphs
from rigl_tf.sparse import products

# Operations between a variable and the operation that multiplies with it.
_PASSED = frozenset(
    "Cast ExpandDims Identity ReadVariableOp Reshape Slice Split SplitV Squeeze"
    " StridedSlice Transpose Unpack".split()
)


@dataclasses.dataclass(frozen=True)
class Use:
    """An operation that a layer performs.

    Attributes:
        layer: the innermost layer.
        operation: operation of the traced graph.
        repeats: how often it is performed, per example.
        variable: the variable among its operands, or None.
    """

    layer: keras.Layer
    operation: tf.Operation
    repeats: float
    variable: keras.Variable | None


def trace(
    model: keras.Layer, input_shapes: Any = None
) -> tuple[list[Use], list[graphs.Call]]:
    """Trace one inference of a model.

    Args:
        model: built Keras model.
        input_shapes: shape of one example, see `accounting.count`.

    Returns:
        `(uses, calls)`: a list of `Use` and a list of `graphs.Call`.

    Raises:
        TypeError: if `input_shapes` is not a structure of shapes.
        ValueError: if a size is unknown.
    """
    specs = _input_specs(model, input_shapes)
    batch = keras.tree.flatten(specs)[0].shape[0]
    with products.counting():
        recorded = graphs.record(model, specs)
    uses = _uses(recorded, recorded.graph, model, 1 / batch, recorded.variables)
    return list(uses), recorded.calls


def _uses(recorded, graph, layer, repeats, variables):
    """Yield each `Use` of a graph, and of the graphs that it runs.

    Args:
        recorded: `graphs.Recorded`.
        graph: graph of the model, or one that it runs.
        layer: owner of the operations that no layer recorded.
        repeats: how often the graph is run, per example.
        variables: dictionary from the ids of the graph's tensors to variables.
    """
    operations = graph.get_operations()
    needed = _needed(graph)
    for owner, operation in zip(recorded.owners(graph, layer), operations):
        if operation not in needed:
            continue
        times = _times(operation) if operation.type in graphs.LOOPS else None
        if times is None:
            variable = _variable(operation, variables)
            yield Use(owner, operation, repeats, variable)
            continue
        for name in ("cond", "body"):
            inner = graphs.inner(operation, name)
            given = _given(operation, inner, variables)
            yield from _uses(recorded, inner, owner, repeats * times, given)


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
    """Return how often a loop runs at most, or None if that is unknown."""
    limit = loop.inputs[1]
    # Keras takes the maximum of a single number, the number of time steps.
    if limit.op.type == "Max" and limit.op.inputs[0].shape.rank == 0:
        limit = limit.op.inputs[0]
    limit = tf.get_static_value(limit)
    return None if limit is None or limit < 0 else int(limit)


def _given(loop, inner, variables):
    """Map the input tensors of a loop's graph to the variables they contain."""
    body = graphs.inner(loop, "body")
    given = {}
    for outside, inside, before, after in zip(
        loop.inputs, inner.inputs, body.inputs, body.outputs
    ):
        variable = variables.get(id(_origin(outside)))
        # What a loop changes, such as a state, is a variable only at first.
        if variable is not None and _origin(after) is before:
            given[id(inside)] = variable
    return given


def _variable(operation, variables):
    """Find the variable that an operand is made of, starting from the last."""
    for tensor in reversed(operation.inputs):
        variable = variables.get(id(_origin(tensor)))
        if variable is not None:
            return variable
    return None


def _origin(tensor):
    """Follow a tensor back through operations that only move its numbers."""
    while tensor.op.type in _PASSED:
        tensor = tensor.op.inputs[1 if tensor.op.type == "Split" else 0]
    return tensor


def _input_specs(model, input_shapes):
    """Return a structure of `tf.TensorSpec` to trace a model with."""
    known = graphs.own_inputs(model)
    if input_shapes is None and known is None:
        raise ValueError(
            "Counting needs `input_shapes`, the shape of one example, for a "
            f"subclassed model. Received: {model.name!r} without it"
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


def _spec(tensor):
    batch, *shape = tensor.shape
    if None in shape:
        raise ValueError(
            "Counting needs the sizes of inputs: give `input_shapes`, the "
            f"shape of one example. Received: inputs of shape {tensor.shape}"
        )
    return tf.TensorSpec((batch or 1, *shape), tensor.dtype)
