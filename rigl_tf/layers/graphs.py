"""Trace a model and record which operations each of its layers adds.

The model is traced once, without computing anything, while every layer records
the operations that it adds to the graph. This covers any model as it runs:
nested, shared and subclassed models, and operations outside of layers.
"""

import contextlib
import dataclasses
from typing import Any

import keras
import tensorflow as tf

from rigl_tf.layers import model_paths

LOOPS = ("StatelessWhile", "While")


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a layer.

    Attributes:
        layer: the layer.
        input_shape: shape of its first argument, without the batch dimension.
    """

    layer: keras.Layer
    input_shape: tuple[int | None, ...]


@dataclasses.dataclass
class _Range:
    graph: tf.Graph
    layer: keras.Layer
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A traced model.

    Attributes:
        graph: graph of one inference.
        calls: the calls of layers, in order.
        variables: dictionary from the ids of the graph's placeholders for
            variables to the variables.
        ranges: the operations that each layer added; read by `owners`.
    """

    graph: tf.Graph
    calls: list[Call]
    variables: dict[int, keras.Variable]
    ranges: list[_Range]

    def owners(self, graph: tf.Graph, layer: keras.Layer) -> list[keras.Layer]:
        """List the innermost layer of each operation of a graph.

        Args:
            graph: graph of the model, or of a loop or branch in it.
            layer: owner of the operations that no layer recorded.
        """
        owners = [layer] * len(graph.get_operations())
        # Outer layers first, even if they only call an inner layer.
        for item in sorted(
            self.ranges[::-1], key=lambda item: item.start - item.end
        ):
            if item.graph is graph:
                n_added = item.end - item.start
                owners[item.start : item.end] = [item.layer] * n_added
        return owners


def record(model: keras.Layer, specs: Any) -> Recorded:
    """Trace one inference of a model.

    Args:
        model: built Keras model or layer.
        specs: structure of `tf.TensorSpec` for its first argument.
    """
    ranges: list[_Range] = []
    calls: list[Call] = []
    layers = [layer for _, layer in model_paths.walk(model)]
    with _recorded(layers, ranges, calls):
        graph = (
            tf.function(
                lambda inputs: model(inputs, training=False), autograph=False
            )
            .get_concrete_function(specs)
            .graph
        )
        # Activity losses are tensors of this graph now. Keras 3.15 has no other
        # way to drop them, and `model.losses` would return them afterwards:
        # test_accounting, `test_counting_leaves_the_model_as_it_is`.
        model._clear_losses()
    return Recorded(graph, calls, _captured(model, graph), ranges)


def inner(operation: tf.Operation, name: str) -> tf.Graph:
    """Return the graph of a function that a loop or branch runs.

    Args:
        operation: the loop or branch.
        name: the attribute with the name of the function, e.g. "body".
    """
    function = operation.get_attr(name).name
    # TensorFlow 2.21 has no public way to get a function of a graph by name.
    # Without it, loops are not counted: test_operations, recurrent layers.
    return operation.graph._get_function(function).graph


def own_inputs(model: keras.Layer) -> Any:
    """Return the symbolic inputs of a model, or None if they are unknown.

    Args:
        model: Keras model or layer.

    Returns:
        A structure of `keras.KerasTensor`.
    """
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


def _captured(model, graph):
    """Map the ids of the graph's placeholders for variables to variables."""
    variables = {}
    for variable in model_paths.variables_by_path(model).values():
        value = variable.value
        for copy in getattr(value, "values", [value]):
            variables[id(copy.handle)] = variable
    return {
        id(inside): variables[id(outside)]
        for outside, inside in graph.captures
        if id(outside) in variables
    }


@contextlib.contextmanager
def _recorded(layers, ranges, calls):
    """Make layers record the operations that their calls add to a graph."""
    before = []
    for layer in layers:
        during = {"call": _recorder(layer, ranges, calls)}
        if "use_cudnn" in layer.__dict__:
            during["use_cudnn"] = False  # a fused operation would hide the loop
        own = {name: v for name, v in layer.__dict__.items() if name in during}
        before.append((layer, during, own))
        layer.__dict__.update(during)
    # Functions that were traced with other sizes must not be reused.
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
