"""The product of a batch with sparse weights, and its gradients."""

from collections.abc import Iterator
import contextlib
import threading
import typing

import tensorflow as tf

from rigl_tf.sparse import backends
from rigl_tf.sparse import collecting
from rigl_tf.sparse import structures

_local = threading.local()


def is_counting() -> bool:
    """Return whether the graph is traced to be counted."""
    return getattr(_local, "counting", False)


@contextlib.contextmanager
def counting() -> Iterator[None]:
    """Trace the dense products in place of sparse ones, to count them.

    Graphs that are traced in this context must not be run.
    """
    _local.counting = True
    try:
        yield
    finally:
        _local.counting = False


def matmul(
    x: tf.Tensor,
    values: tf.Tensor,
    structure: structures.Structure,
    layer: object = None,
) -> tf.Tensor:
    """Return `x W` for a sparse kernel W.

    Its gradients cost what the connections do: `dx = dy W^T`, and of the dense
    gradient `x^T dy` the entries at connections alone.

    Args:
        x: float32 tensor [batch, n_in].
        values: float32 tensor [nnz], weights of the connections.
        structure: where they are.
        layer: what `collecting` knows the product by.

    Returns:
        float32 tensor [batch, n_out].
    """
    if is_counting():
        return tf.matmul(x, tf.fill(structure.shape, 0.0))
    kernels = backends.available().kernels
    n_in = structure.shape[0]

    @tf.custom_gradient
    def product(
        x: tf.Tensor, values: tf.Tensor
    ) -> tuple[tf.Tensor, typing.Callable]:
        batch, held = tf.shape(x, tf.int64)[0], kernels.hold(x)

        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            held_dy = kernels.hold(dy)
            dx = kernels.multiply(
                *(held_dy, batch, values),
                *(structure.row_starts, structure.columns, None),
            )
            dx = tf.ensure_shape(dx, [x.shape[0], n_in])
            pairs = collecting.current()
            if pairs is not None:
                pairs.add(layer, x, dy)
                return dx, tf.zeros_like(values)
            return dx, kernels.sample(
                *(held, held_dy, batch),
                *(structure.row_starts, structure.columns),
            )

        y = kernels.multiply(
            *(held, batch, values),
            *(structure.column_starts, structure.rows, structure.order),
        )
        return tf.ensure_shape(y, [x.shape[0], structure.shape[1]]), gradient

    return product(x, values)
