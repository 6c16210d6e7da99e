"""The kernels of a masked model, each with its mask."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from rigl_tf.layers import masked
from rigl_tf.layers import model_paths
from rigl_tf.masks import patterns


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedKernel:
    """A kernel and its mask.

    Attributes:
        path: structural path of the kernel from the model's root.
        kernel: `keras.Variable`; zero wherever the mask is.
        mask: `keras.Variable` of zeros and ones, shaped like the kernel.
        sparsity: target fraction of zeros, in [0, 1).
        pattern: `shapes.Pattern` of the mask.
    """

    path: str
    kernel: keras.Variable
    mask: keras.Variable
    sparsity: float
    pattern: patterns.Pattern = patterns.UNSTRUCTURED

    @property
    def size(self):
        """Number of weights."""
        return math.prod(self.kernel.shape)

    def fresh_mask(self, scores, sparsity=None):
        """Keep the largest scores, as many as a fresh mask has ones.

        Args:
            scores: tensor shaped like the kernel.
            sparsity: None for the target.
        """
        sparsity = self.sparsity if sparsity is None else sparsity
        shape = tuple(self.kernel.shape)
        n_units = self.pattern.n_units(shape, sparsity)
        return self.pattern.top(scores, n_units)


def masked_kernels(model):
    """List the masked kernels of a model, in the order of its layers.

    Args:
        model: result of `sparsify`, or such a model loaded from a file.

    Returns:
        list of `MaskedKernel`.

    Raises:
        TypeError: it is no Keras model.
        ValueError: the model has none.
    """
    model_paths.require_kind(model, keras.layers.Layer)
    found = [
        MaskedKernel(
            f"{path}/{inner}".lstrip("/"),
            kernel,
            mask,
            layer.sparsities.get(inner, 0.0),
            layer.pattern,
        )
        for path, layer in model_paths.walk(model)
        if isinstance(layer, masked.Masked)
        for inner, kernel, mask in layer.masked()
    ]
    if not found:
        raise ValueError(
            "`model` has no masked kernels: call `rigl_tf.sparsify` first. "
            f"Received: {model.name!r}"
        )
    return found


def require_dense(kernels, method):
    """Raise ValueError if a method that begins dense finds nothing to drop.

    Args:
        kernels: list of `MaskedKernel`.
        method: name of the method, for the message.
    """
    sparse = []
    for item in kernels:
        shape = tuple(item.kernel.shape)
        target = item.pattern.n_active(shape, item.sparsity)
        n_active = np.count_nonzero(item.mask.numpy())
        if target < item.size:
            sparse.append(n_active <= target)
    if sparse and all(sparse):
        raise ValueError(
            f"{method} chooses masks from dense weights: call `sparsify` with "
            '`first_mask="dense"`. Received: masks that are as sparse as their '
            "targets already; `updaters.Static()` trains on with these"
        )


def set_mask(item, mask):
    """Assign a mask and set the weights outside of it to zero.

    Args:
        item: `MaskedKernel`.
        mask: array or tensor of zeros and ones, shaped like the kernel.
    """
    item.pattern.check_mask(item.path, mask, tuple(item.kernel.shape))
    assign(item, mask)


def assign(item, mask):
    """Assign a mask without checking it; args as in `set_mask`."""
    item.mask.assign(tf.cast(mask, item.mask.dtype))
    item.kernel.assign(item.kernel.value * item.mask.value)
