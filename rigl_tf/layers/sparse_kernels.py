"""List the kernels of truly sparse layers."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from rigl_tf.layers import kernel_masks
from rigl_tf.layers import model_paths
from rigl_tf.masks import patterns
from rigl_tf.sparse import blocks
from rigl_tf.sparse import layers


@dataclasses.dataclass(frozen=True, eq=False)
class SparseKernel:
    """The kernel of a `sparse.SparseDense`, of which only active weights exist.

    Attributes:
        path: structural path that the dense kernel would have.
        layer: the layer.
    """

    path: str
    layer: layers.SparseDense

    @property
    def kernel(self) -> keras.Variable:
        """The active weights [nnz], or blocks [n, b, b], in their order."""
        return self.layer.values

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of inputs and outputs."""
        return self.layer.kernel_shape

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of what is connected: weights, or blocks."""
        return self.layer.grid_shape

    @property
    def block(self) -> int:
        """Inputs and outputs of a block; 1 for single weights."""
        return self.layer.block

    @property
    def n_active(self) -> int:
        """Number of active weights."""
        return self.layer.n_active * self.block**2

    @property
    def size(self) -> int:
        """Number of positions, active or not."""
        return math.prod(self.shape)

    @property
    def sparsity(self) -> float:
        """Fraction of positions without a connection."""
        return 1 - self.n_active / self.size

    def dense_mask(self) -> np.ndarray:
        """Return the connections as a boolean array of the kernel's shape.

        It takes a byte for each position: for kernels that fit densely.
        """
        return blocks.dense_mask(self.layer)

    @property
    def fits_densely(self) -> bool:
        """Whether a dense kernel of this size is still made, up to 2^28."""
        return self.size <= layers.LARGEST_DENSE

    def drop(self, scores: tf.Tensor, fraction: tf.Tensor) -> tf.Tensor:
        """Return which connections are left when the weakest are dropped.

        Ties fall as in a masked kernel: of equal scores, the one with the lower
        position stays.

        Args:
            scores: of the active weights, shaped like them; blocks are
                compared by their sums.
            fraction: share that is dropped, scalar float32 tensor.

        Returns:
            boolean tensor [nnz], or one entry for each block.
        """
        scores = tf.reduce_sum(scores, list(range(1, len(scores.shape))))
        ones = tf.ones_like(scores)
        kept, _ = patterns.UNSTRUCTURED.drop(ones, scores, fraction)
        return kept


def sparse_kernels(model: keras.Layer) -> list[SparseKernel]:
    """List the truly sparse kernels of a model, in the order of its layers.

    Args:
        model: built Keras model or layer.
    """
    model_paths.require_kind(model, keras.layers.Layer)
    return [
        SparseKernel(f"{path}/kernel".lstrip("/"), layer)
        for path, layer in model_paths.walk(model)
        if isinstance(layer, layers.SparseDense)
    ]


def all_kernels(
    model: keras.Layer,
) -> tuple[list[kernel_masks.MaskedKernel], list[SparseKernel]]:
    """List the masked and the truly sparse kernels of a model.

    Args:
        model: built Keras model or layer.

    Raises:
        TypeError: if `model` is not a Keras model or layer.
        ValueError: if it has neither.
    """
    sparse = sparse_kernels(model)
    masked = kernel_masks.masked_kernels(model, optional=bool(sparse))
    return masked, sparse
