"""A dense layer whose connections are blocks of weights, for any device."""

import typing

import keras
import numpy as np
from scipy import sparse
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.sparse import collecting
from rigl_tf.sparse import layers
from rigl_tf.sparse import products
from rigl_tf.sparse import structures


@keras.saving.register_keras_serializable(package="rigl_tf")
class BlockDense(layers.SparseDense):
    """`activation(x W + b)` with W made of square blocks.

    The trainable variable `values` [n, b, b] holds the active blocks. Products
    are batched matrix products of TensorFlow: they run on every device, and XLA
    compiles them.

    Args:
        units: number of outputs, a multiple of `block`.
        density: fraction of blocks that are active, in (0, 0.5].
        block: inputs and outputs of a block, b. Inputs of the layer must be a
            multiple of it.
        **kwargs: as of `SparseDense`; `n_active` is a number of blocks.

    Raises:
        ValueError: units or inputs are not a multiple of `block`; see also
            `SparseDense`.
    """

    break_even = 0.5

    def __init__(
        self,
        units: int,
        density: float | None = None,
        *,
        block: int,
        **kwargs: typing.Any,
    ):
        checks.at_least("block", block, 2, integer=True)
        super().__init__(units, density, **kwargs)
        self.block = block
        self.supports_jit = True

    def _grid_shape(self):
        n_in, n_out = self.kernel_shape
        if n_in % self.block or n_out % self.block:
            raise ValueError(
                "Inputs and units of `BlockDense` must be multiples of "
                f"`block`. Received: a kernel of {n_in} x {n_out} and "
                f"block={self.block} in {self.name!r}"
            )
        return n_in // self.block, n_out // self.block

    def _product(self, x):
        values = tf.convert_to_tensor(self.values.value)
        return matmul(x, values, self.structure, self)

    def matrix(self) -> sparse.csr_matrix:
        """Return a copy of W as a SciPy matrix [n_in, units]."""
        starts, columns, *_ = (v.numpy() for v in self.structure_variables)
        parts = (self.values.numpy(), columns, starts)
        matrix = sparse.bsr_matrix(parts, shape=self.kernel_shape)
        return matrix.tocsr()

    def get_config(self) -> dict[str, typing.Any]:
        """Return the arguments, without the connections."""
        return {**super().get_config(), "block": self.block}


def matmul(
    x: tf.Tensor,
    values: tf.Tensor,
    structure: structures.Structure,
    layer: object = None,
) -> tf.Tensor:
    """Return `x W` for a kernel W of blocks.

    Args:
        x: float32 tensor [batch, n_in].
        values: float32 tensor [n, b, b], the active blocks.
        structure: where they are in the grid of blocks.
        layer: what `collecting` knows the product by.

    Returns:
        float32 tensor [batch, n_out].
    """
    block = values.shape[-1]
    n_rows, n_columns = structure.shape
    if products.is_counting():
        return tf.matmul(x, tf.fill([n_rows * block, n_columns * block], 0.0))
    places = structure.positions()
    rows, columns = places // n_columns, places % n_columns

    def multiply(x, values):
        batch = tf.shape(x)[0]
        parts = tf.transpose(tf.reshape(x, [batch, n_rows, block]), [1, 0, 2])
        products = tf.matmul(tf.gather(parts, rows), values)  # [n, batch, b]
        sums = tf.math.unsorted_segment_sum(products, columns, n_columns)
        return tf.reshape(
            tf.transpose(sums, [1, 0, 2]), [batch, n_columns * block]
        )

    pairs = collecting.current()
    if pairs is None:
        return multiply(x, values)

    @tf.custom_gradient
    def product(
        x: tf.Tensor, values: tf.Tensor
    ) -> tuple[tf.Tensor, typing.Callable]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = multiply(x, values)

        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            pairs.add(layer, x, dy)
            return tape.gradient(y, x, dy), tf.zeros_like(values)

        return y, gradient

    return product(x, values)


def pooled(scores: tf.Tensor, block: int) -> tf.Tensor:
    """Return the sum of the scores in each block.

    Args:
        scores: tensor [rows, columns], multiples of `block`.
        block: inputs and outputs of a block.
    """
    n_rows, n_columns = tf.shape(scores)[0], tf.shape(scores)[1]
    cut = [n_rows // block, block, n_columns // block, block]
    return tf.reduce_sum(tf.reshape(scores, cut), [1, 3])


def dense_mask(layer: layers.SparseDense) -> np.ndarray:
    """Return the connections of a layer as a boolean array [n_in, units]."""
    mask = np.zeros(layer.grid_shape, bool)
    mask.ravel()[layer.positions()] = True
    for axis in range(2):
        mask = mask.repeat(layer.block, axis)
    return mask
