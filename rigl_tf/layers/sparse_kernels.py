"""List the kernels of truly sparse layers."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from rigl_tf.layers import model_paths
from rigl_tf.masks import patterns
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
        """The active weights [nnz], in ascending positions."""
        return self.layer.values

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of inputs and outputs."""
        return self.layer.kernel_shape

    @property
    def size(self) -> int:
        """Number of positions, active or not."""
        return math.prod(self.shape)

    @property
    def sparsity(self) -> float:
        """Fraction of positions without a connection."""
        return 1 - self.layer.n_active / self.size

    @property
    def pattern(self) -> patterns.Pattern:
        """Pattern of the connections: none."""
        return patterns.UNSTRUCTURED

    def dense_mask(self) -> np.ndarray:
        """Return the connections as a boolean array of the kernel's shape.

        It takes a byte for each position: for kernels that fit densely.
        """
        mask = np.zeros(self.size, bool)
        mask[self.layer.positions()] = True
        return mask.reshape(self.shape)

    @property
    def fits_densely(self) -> bool:
        """Whether a dense kernel of this size is still made, up to 2^28."""
        return self.size <= layers.LARGEST_DENSE

    def drop(self, scores: tf.Tensor, fraction: tf.Tensor) -> tf.Tensor:
        """Return which connections are left when the smallest are dropped.

        Ties fall as in a masked kernel: of equal scores, the one with the lower
        position stays.

        Args:
            scores: of the connections [nnz].
            fraction: share that is dropped, scalar float32 tensor.

        Returns:
            boolean tensor [nnz].
        """
        ones = tf.ones_like(scores)
        return self.pattern.drop(ones, scores, fraction) > 0


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
