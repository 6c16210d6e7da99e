"""Write SavedModels that store each weight once, and load without rigl_tf.

`keras.Model.export` stores weights twice. Truly sparse layers are served by
`tf.sparse`, so that files stay small and need no native code.
"""

import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rigl_tf.export import signatures
from rigl_tf.layers import copying
from rigl_tf.layers import model_paths
from rigl_tf.layers import sparse_kernels
from rigl_tf.sparse import layers

NAME = "serving_default"


def write(
    directory: pathlib.Path,
    model: keras.Model,
    signature: signatures.Signature,
) -> None:
    """Write a directory in TensorFlow's SavedModel format.

    Args:
        directory: path of the directory, which does not exist.
        model: the model, see `served`.
        signature: its signature.
    """
    module: Any = tf.Module()
    module.variables_of_model = [variable.value for variable in model.variables]
    module.serve = signature.function()
    tf.saved_model.save(
        module,
        str(directory),
        signatures={NAME: module.serve.get_concrete_function()},
    )


def served(model: keras.Model) -> keras.Model:
    """Return a model in which `tf.sparse` multiplies by truly sparse kernels.

    Args:
        model: stripped model; returned unchanged without truly sparse layers.
    """
    if not sparse_kernels.sparse_kernels(model):
        return model

    def convert(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, layers.SparseDense):
            return _ServedDense(layer)
        return copying.copy_layer(layer)

    copy = copying.clone(model, convert)
    originals = model_paths.variables_by_path(model)
    for path, variable in model_paths.variables_by_path(copy).items():
        if path in originals:  # not those of truly sparse kernels
            variable.assign(originals[path])
    return copy


class _ServedDense(keras.layers.Layer):
    """A truly sparse layer for inference, of TensorFlow's own operations."""

    def __init__(self, layer: layers.SparseDense):
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self._layer_shape = layer.kernel_shape
        self._activation = layer.activation
        matrix = layer.matrix().T.tocsr()  # rows are outputs
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        self._places = np.stack([rows, matrix.indices], axis=1).astype(np.int64)
        self.values = self.add_weight(
            name="served_values", shape=matrix.data.shape, autocast=False
        )
        self.values.assign(matrix.data)
        self.bias = None
        if layer.bias is not None:
            self.bias = self.add_weight(
                name="bias", shape=layer.bias.shape, autocast=False
            )
            self.bias.assign(layer.bias)

    def call(self, inputs: Any) -> tf.Tensor:
        """Return `activation(x W + b)`."""
        n_in, n_out = self._layer_shape
        x = tf.reshape(tf.cast(inputs, tf.float32), [-1, n_in])
        matrix = tf.SparseTensor(
            self._places, tf.convert_to_tensor(self.values.value), (n_out, n_in)
        )
        y = tf.transpose(
            tf.sparse.sparse_dense_matmul(matrix, x, adjoint_b=True)
        )
        if self.bias is not None:
            y += self.bias.value
        shape = tf.concat([tf.shape(inputs)[:-1], [n_out]], 0)
        y = tf.ensure_shape(tf.reshape(y, shape), [*inputs.shape[:-1], n_out])
        return self._activation(tf.cast(y, self.compute_dtype))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Return the shape of the outputs."""
        return (*input_shape[:-1], self._layer_shape[1])
