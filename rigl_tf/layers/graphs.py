"""A model as a graph: which operations each of its layers adds.

The model is traced once, without computing anything, while every layer notes
which operations it adds. So any model is seen as it runs: nested, shared,
subclassed, with operations outside of layers.
"""

import contextlib
import dataclasses

import keras
import tensorflow as tf

from rigl_tf.layers import model_paths

LOOPS = ("StatelessWhile", "While")


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


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A traced model.

    Attributes:
        graph: `tf.FuncGraph` of one inference.
        calls: list of `Call`.
        variables: dictionary from the ids of the graph's placeholders of
            variables to these.
        ranges: which layer added which operations; read by `owners`.
    """

    graph: tf.Graph
    calls: list
    variables: dict
    ranges: list

    def owners(self, graph, layer):
        """List the innermost layer of each operation of a graph.

        Args:
            graph: of the model, or of a loop or branch in it.
            layer: whose operations they are, unless a layer noted them.
        """
        owners = [layer] * len(graph.get_operations())
        # Outer layers first, also where they add nothing to those inside.
        for item in sorted(
            self.ranges[::-1], key=lambda item: item.start - item.end
        ):
            if item.graph is graph:
                n_added = item.end - item.start
                owners[item.start : item.end] = [item.layer] * n_added
        return owners


def record(model, specs):
    """Trace one inference of a model.

    Args:
        model: built Keras model or layer.
        specs: structure of `tf.TensorSpec`: its first operand.
    """
    ranges, calls = [], []
    layers = [layer for _, layer in model_paths.walk(model)]
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
    return Recorded(graph, calls, _captured(model, graph), ranges)


def inner(operation, name):
    """Return the graph of a loop's or branch's attribute, e.g. "body"."""
    function = operation.get_attr(name).name
    return operation.graph._get_function(function).graph


def own_inputs(model):
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


def _captured(model, graph):
    """Map the ids of the graph's placeholders of variables to the variables."""
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
