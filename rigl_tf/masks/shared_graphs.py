"""Trace a function once for all kernels, whatever their shapes.

An update does the same with every kernel. In the graph of a large network,
tracing and optimizing each of them alone takes longer than the update.
"""

from collections.abc import Callable
import functools
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import control_flow_util


def call(function: Callable[..., Any], *arguments: tf.Tensor) -> Any:
    """Call a function of tensors; in a graph, as a function of its own.

    That function is traced once for all arguments of the same ranks and dtypes.

    Args:
        function: pure function of tensors, defined in a module: the graphs of
            functions that are created anew would pile up.
        *arguments: tensors, or what can be converted to them.

    Returns:
        what the function returns. Shapes of outputs are unknown in a graph.
    """
    tensors = [tf.convert_to_tensor(argument) for argument in arguments]
    if tf.executing_eagerly():
        return function(*tensors)
    specs = [tf.TensorSpec([None] * t.shape.rank, t.dtype) for t in tensors]
    return _shared(function, tuple(specs), for_xla())(*tensors)


def for_xla() -> bool:
    """Return whether XLA will compile the graph that is being traced."""
    # Private; seen in TensorFlow 2.21. Without it, all tests of updates under
    # XLA fail, as XLA compiles no Python.
    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))


@functools.cache
def _shared(function, specs, for_xla):
    del for_xla  # what is traced can depend on it
    # Inlined, each call would have its own copy.
    attributes = {"_noinline": True}
    return tf.function(
        function, specs, autograph=False, experimental_attributes=attributes
    )
